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

// programName tells our device programs from those of others, systemd's say.
var programName = [16]byte{'b', 'e', 'r', 't', 'h', '_', 'd', 'e', 'v', 'i', 'c', 'e', 's'}

// maxPrograms is how many programs one cgroup can have (BPF_CGROUP_MAX_PROGS).
const maxPrograms = 64

// AttachDeviceProgram loads a program of type BPF_PROG_TYPE_CGROUP_DEVICE
// (bpf(2), Linux 4.15) and attaches it to the cgroup v2 directory dir, beside
// those already there; all of them must allow an access. With replace it takes
// the place of an earlier one of ours, in one step (Linux 5.6). The kernel
// frees it with the cgroup. EPERM without CAP_BPF and CAP_NET_ADMIN (or
// CAP_SYS_ADMIN), ENOSYS or EINVAL on a kernel without cgroup programs.
func AttachDeviceProgram(dir *os.File, program []BPFInstruction, replace bool) error {
	fd, err := loadDeviceProgram(program)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var old []int
	if replace {
		if old, err = ourPrograms(dir); err != nil {
			return err
		}
	}
	attach := struct{ target, program, kind, flags, replaced uint32 }{
		target: uint32(dir.Fd()), program: uint32(fd), kind: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI,
	}
	if len(old) > 0 {
		attach.flags |= unix.BPF_F_REPLACE
		attach.replaced = uint32(old[0])
	}
	_, err = bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach))
	for i, f := range old {
		if err == nil && i > 0 {
			err = detach(dir, f)
		}
		_ = unix.Close(f) // the cgroup holds the program, if it still does
	}
	runtime.KeepAlive(dir)
	return os.NewSyscallError("bpf(BPF_PROG_ATTACH)", err)
}

// DetachDevicePrograms takes our device programs off the cgroup directory.
func DetachDevicePrograms(dir *os.File) error {
	ours, err := ourPrograms(dir)
	for _, f := range ours {
		if err == nil {
			err = os.NewSyscallError("bpf(BPF_PROG_DETACH)", detach(dir, f))
		}
		_ = unix.Close(f) // nothing was written
	}
	return err
}

func detach(dir *os.File, program int) error {
	a := struct{ target, program, kind, flags uint32 }{uint32(dir.Fd()), uint32(program), unix.BPF_CGROUP_DEVICE, 0}
	_, err := bpf(unix.BPF_PROG_DETACH, unsafe.Pointer(&a), unsafe.Sizeof(a))
	runtime.KeepAlive(dir)
	return err
}

func loadDeviceProgram(program []BPFInstruction) (int, error) {
	if len(program) == 0 {
		return -1, fmt.Errorf("load device program: %w", unix.EINVAL)
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
		instructions: unsafe.Pointer(&program[0]), license: unsafe.Pointer(&license[0]), name: programName,
	}
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	runtime.KeepAlive(program)
	runtime.KeepAlive(license)
	return fd, os.NewSyscallError("bpf(BPF_PROG_LOAD)", err)
}

// ourPrograms opens the device programs of the cgroup that are ours.
func ourPrograms(dir *os.File) (ours []int, err error) {
	var ids [maxPrograms]uint32
	query := struct {
		target, kind, flags, attachFlags uint32
		ids                              unsafe.Pointer
		count                            uint32
		_                                uint32
	}{target: uint32(dir.Fd()), kind: unix.BPF_CGROUP_DEVICE, ids: unsafe.Pointer(&ids[0]), count: maxPrograms}
	_, err = bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&query), unsafe.Sizeof(query))
	runtime.KeepAlive(dir)
	if err != nil {
		return nil, os.NewSyscallError("bpf(BPF_PROG_QUERY)", err)
	}
	for _, id := range ids[:min(query.count, maxPrograms)] {
		get := struct{ id, next, flags uint32 }{id: id}
		fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&get), unsafe.Sizeof(get))
		if errors.Is(err, unix.ENOENT) {
			continue // it was detached meanwhile
		}
		var mine bool
		if err == nil {
			mine, err = isOurs(fd)
		}
		if mine {
			ours = append(ours, fd)
		} else if fd >= 0 {
			_ = unix.Close(fd) // another's
		}
		if err != nil {
			for _, f := range ours {
				_ = unix.Close(f) // nothing was written
			}
			return nil, os.NewSyscallError("bpf(BPF_PROG_GET_FD_BY_ID)", err)
		}
	}
	return ours, nil
}

// isOurs looks at the program's name (struct bpf_prog_info).
func isOurs(program int) (bool, error) {
	const nameAt = 64
	var info [nameAt + 16]byte
	get := struct {
		fd, size uint32
		info     unsafe.Pointer
	}{uint32(program), uint32(len(info)), unsafe.Pointer(&info[0])}
	_, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&get), unsafe.Sizeof(get))
	return err == nil && [16]byte(info[nameAt:]) == programName, err
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

// CountDevicePrograms returns how many device programs the cgroup has of ours.
func CountDevicePrograms(dir *os.File) (int, error) {
	ours, err := ourPrograms(dir)
	for _, f := range ours {
		_ = unix.Close(f) // nothing was written
	}
	return len(ours), err
}
