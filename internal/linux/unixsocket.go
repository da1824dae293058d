package linux

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socketpair returns two connected unix sockets (socketpair(2)). The first does not
// block and waits in the runtime's poller.
func Socketpair() (ours, theirs *os.File, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(p[0], true); err != nil {
		_, _ = unix.Close(p[0]), unix.Close(p[1]) // nothing was written
		return nil, nil, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	return os.NewFile(uintptr(p[0]), "socket"), os.NewFile(uintptr(p[1]), "socket"), nil
}

// DialUnix connects to a unix socket by its path, which may be longer than an
// address takes (108 bytes, unix(7)).
func DialUnix(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	socket := os.NewFile(uintptr(fd), path)
	place, err := OpenPath(path)
	if err != nil {
		_ = socket.Close() // nothing was written
		return nil, err
	}
	defer place.Close()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d", place.Fd())}); err != nil {
		_ = socket.Close() // nothing was written
		return nil, &os.PathError{Op: "connect", Path: path, Err: err}
	}
	return socket, nil
}

// ReceiveFile receives one open file (unix(7), SCM_RIGHTS). name is for errors;
// it will be read and written through the runtime's poller.
func ReceiveFile(socket *os.File, name string) (*os.File, error) {
	var fds []int
	data, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var n, oobn int
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, rerr = unix.Recvmsg(int(fd), data, oob, unix.MSG_CMSG_CLOEXEC)
		return rerr != unix.EAGAIN //nolint:errorlint // it comes bare from the call
	})
	if err == nil {
		err = os.NewSyscallError("recvmsg", rerr)
	}
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err == nil && len(messages) == 1 {
		fds, err = unix.ParseUnixRights(&messages[0])
	}
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("receive %s: %d bytes and %d files came: %w", name, n, len(fds), os.ErrInvalid)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	return os.NewFile(uintptr(fds[0]), name), nil
}

// Duplicate returns a file of its own for an open number (F_DUPFD_CLOEXEC, fcntl(2)).
func Duplicate(fd int) (*os.File, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	return os.NewFile(uintptr(n), fmt.Sprintf("fd %d", fd)), nil
}

// WaitChild waits for a child to end (wait4(2)).
func WaitChild(pid int) (syscall.WaitStatus, error) {
	var ws syscall.WaitStatus
	err := retry(func() error {
		_, err := syscall.Wait4(pid, &ws, 0, nil)
		return err
	})
	return ws, os.NewSyscallError("wait4", err)
}

// AwaitChild waits until a child has ended, and leaves it to WaitChild (waitid(2), WNOWAIT).
func AwaitChild(pid int) error {
	err := retry(func() error { return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) })
	return os.NewSyscallError("waitid", err)
}
