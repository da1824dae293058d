package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// WaitReadable returns when f, which must be non-blocking, has something to
// read or is at its end. Nothing is read. It waits in the runtime's poller;
// closing f ends it with os.ErrClosed.
func WaitReadable(f *os.File) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return c.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 && err == nil
	})
}
