package linux

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LoadSeccomp gives the calling thread a seccomp filter (seccomp(2), Linux
// 3.17): program is an array of struct sock_filter and flags are
// SECCOMP_FILTER_FLAG_*. It cannot be undone and is inherited over fork and
// exec. The thread needs CAP_SYS_ADMIN or no_new_privs, else EACCES. With
// SECCOMP_FILTER_FLAG_NEW_LISTENER the result is the listener, otherwise nil.
func LoadSeccomp(program []byte, flags uint) (*os.File, error) {
	if len(program) == 0 || len(program)%8 != 0 || len(program)/8 > 4096 {
		return nil, errors.New("a seccomp filter has 1 to 4096 instructions of 8 bytes")
	}
	prog := unix.SockFprog{
		Len:    uint16(len(program) / 8),
		Filter: (*unix.SockFilter)(unsafe.Pointer(unsafe.SliceData(program))),
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return nil, os.NewSyscallError("seccomp", errno)
	}
	if flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
		return nil, nil
	}
	return os.NewFile(fd, "seccomp listener"), nil // close-on-exec by the kernel
}

// SetNoNewPrivs sets no_new_privs on the calling thread (prctl(2), Linux 3.5):
// from then on execve grants nothing.
func SetNoNewPrivs() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
}
