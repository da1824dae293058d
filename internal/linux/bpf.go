package linux

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BPFInstruction is one eBPF instruction as the kernel lays it out (struct
// bpf_insn). Registers holds the destination in the low four bits and the
// source in the high four, which is the layout of little-endian machines.
type BPFInstruction struct {
	Code      uint8
	Registers uint8
	Offset    int16
	Immediate int32
}

// AttachDeviceProgram loads a program of type BPF_PROG_TYPE_CGROUP_DEVICE
// (bpf(2), Linux 4.15) and attaches it to the cgroup v2 directory dir, beside
// those already there; all of them must allow an access. The kernel frees it
// with the cgroup. EPERM without CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN), ENOSYS or EINVAL on a
// kernel without cgroup programs.
func AttachDeviceProgram(dir *os.File, program []BPFInstruction) error {
	if len(program) == 0 {
		return fmt.Errorf("load device program: %w", unix.EINVAL)
	}
	license := []byte("Apache-2.0\x00")
	load := struct {
		progType, count uint32
		instructions    unsafe.Pointer
		license         unsafe.Pointer
		logLevel        uint32
		logSize         uint32
		logBuf          uint64
		kernVersion     uint32
		flags           uint32
		name            [16]byte
	}{
		progType: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(program)),
		instructions: unsafe.Pointer(&program[0]), license: unsafe.Pointer(&license[0]),
		name: [16]byte{'b', 'e', 'r', 't', 'h', '_', 'd', 'e', 'v', 'i', 'c', 'e', 's'},
	}
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	if err != nil {
		return os.NewSyscallError("bpf(BPF_PROG_LOAD)", err)
	}
	defer unix.Close(fd)
	attach := struct{ target, program, kind, flags uint32 }{
		uint32(dir.Fd()), uint32(fd), unix.BPF_CGROUP_DEVICE, unix.BPF_F_ALLOW_MULTI,
	}
	_, err = bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach))
	runtime.KeepAlive(dir)
	return os.NewSyscallError("bpf(BPF_PROG_ATTACH)", err)
}

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		// EAGAIN: the verifier was interrupted by a signal.
		fd, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		if errno == 0 {
			return int(fd), nil
		}
		if !errors.Is(errno, unix.EINTR) && !errors.Is(errno, unix.EAGAIN) {
			return -1, errno
		}
	}
}
