package linux

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// PeerUID returns the user id of the process that connected to c, as the kernel
// recorded it at connect(2) (SO_PEERCRED, unix(7)).
func PeerUID(c *net.UnixConn) (uint32, error) {
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
