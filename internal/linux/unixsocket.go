package linux

import (
	"errors"
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

// ConnectUnix is DialUnix, for a caller who wants deadlines: the socket waits in
// the runtime's poller.
func ConnectUnix(path string) (*os.File, error) {
	blocking, err := DialUnix(path)
	if err != nil {
		return nil, err
	}
	defer blocking.Close()
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	return os.NewFile(uintptr(fd), path), nil
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
		return rerr != unix.EAGAIN
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

// PeerUID returns the user id of the process that connected to c, as the kernel
// recorded it at connect(2) (SO_PEERCRED, unix(7)). c is no *net.UnixConn, because
// the initialization of package net would be every program's.
func PeerUID(c syscall.Conn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, os.NewSyscallError("getsockopt SO_PEERCRED", credErr)
	}
	return cred.Uid, nil
}

// Hangup watches a connected stream socket for its peer's end, apart from
// whoever reads and writes it.
type Hangup struct{ f *os.File }

// NewHangup watches c through a descriptor of its own. The caller closes it.
func NewHangup(c syscall.Conn) (*Hangup, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	dup := -1
	var dupErr error
	if err := raw.Control(func(fd uintptr) {
		dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", dupErr)
	}
	// The socket is non-blocking, so os.NewFile gives it to the poller.
	return &Hangup{os.NewFile(uintptr(dup), "hangup")}, nil
}

// Wait returns nil when the peer has closed its socket (POLLHUP, poll(2); a peer
// that has only shut down its writing side is still there), or an error after Close.
func (h *Hangup) Wait() error {
	raw, err := h.f.SyscallConn()
	if err != nil {
		return err
	}
	// The poller reports every edge, POLLHUP's too; between edges it sleeps.
	return raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}}
		for {
			_, err := unix.Poll(p, 0)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return err != nil || p[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
		}
	})
}

// Close ends the watch and wakes Wait.
func (h *Hangup) Close() error { return h.f.Close() }

// SendFile sends data and with its first byte an open file (unix(7), SCM_RIGHTS).
// The socket blocks.
func SendFile(socket *os.File, data []byte, f *os.File) error {
	var err error
	send := func(to, fd int) {
		for oob := unix.UnixRights(fd); len(data) > 0 && err == nil; oob = nil {
			var n int
			err = retry(func() (err error) {
				n, err = unix.SendmsgN(to, data, oob, nil, unix.MSG_NOSIGNAL)
				return err
			})
			data = data[max(n, 0):]
		}
	}
	cerr := control(socket, func(to int) {
		if ferr := control(f, func(fd int) { send(to, fd) }); ferr != nil {
			err = ferr
		}
	})
	if cerr != nil {
		return cerr
	}
	return os.NewSyscallError("sendmsg", err)
}
