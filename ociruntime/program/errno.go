package program

import (
	"strconv"
	"syscall"
)

// errnoName is the symbol of the errnos that plans tolerate.
func errnoName(e syscall.Errno) string {
	names := map[syscall.Errno]string{
		syscall.EEXIST: "EEXIST", syscall.ENOENT: "ENOENT", syscall.ENOTDIR: "ENOTDIR",
		syscall.EACCES: "EACCES", syscall.EPERM: "EPERM", syscall.EINVAL: "EINVAL",
		syscall.ENOSYS: "ENOSYS", syscall.EPIPE: "EPIPE", syscall.ENODEV: "ENODEV",
		syscall.ELOOP: "ELOOP", syscall.ESRCH: "ESRCH", syscall.ENAMETOOLONG: "ENAMETOOLONG",
		syscall.ECHILD: "ECHILD", syscall.EAGAIN: "EAGAIN", syscall.EINTR: "EINTR",
	}
	if n, ok := names[e]; ok {
		return n
	}
	return "errno " + strconv.Itoa(int(e))
}
