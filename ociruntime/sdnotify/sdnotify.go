// Package sdnotify passes on what a container's process tells systemd of itself:
// that it is ready (sd_notify(3)).
//
// Level: R.
// Owns: the socket in the container, and what of it reaches the caller's own.
// May import: internal/linux, the runtime spec's types.
// Must not know: how a container is made.
//
// systemd runs a service of Type=notify with the path of its socket in
// $NOTIFY_SOCKET, and takes messages from processes of the service only. A container
// sees neither the path nor has it such a process: it gets a socket of its own, and
// whoever starts it waits there and says it in its name, as runc does.
package sdnotify

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// dir is the socket's directory in a container's state.
	dir = "notify"
	// inside is where the container sees it.
	inside = "/run/notify"
	name   = "notify.sock"
)

// maxMessage is the longest message that systemd takes, in bytes.
const maxMessage = 4096

// barrierLimit is how long systemd may take to read what was said, as sd_notify_barrier's
// callers usually wait.
const barrierLimit = 30 * time.Second

// Prepare shows a container the directory of its socket, which MakeDir makes in
// state.
func Prepare(s *specs.Spec, state string) {
	s.Mounts = append(s.Mounts, specs.Mount{
		Destination: inside, Source: filepath.Join(state, dir), Options: []string{"bind", "nosuid", "noexec", "nodev", "ro"},
	})
	s.Process.Env = append(s.Process.Env, "NOTIFY_SOCKET="+inside+"/"+name)
}

// MakeDir makes that directory.
func MakeDir(state string) error {
	path := filepath.Join(state, dir)
	if err := os.Mkdir(path, 0o755); err != nil {
		return fmt.Errorf("make the container's notify directory: %w", err)
	}
	return os.Chmod(path, 0o755) // root of another user namespace must pass it
}

// Socket is the container's socket and the caller's.
type Socket struct {
	file  *os.File
	host  string
	ended atomic.Bool
}

// Listen makes the socket in a container's state; what comes is passed on to host,
// the caller's own $NOTIFY_SOCKET. nil if the container was made without one.
func Listen(state, host string) (*Socket, error) {
	place, err := linux.OpenPath(filepath.Join(state, dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // none, which is no error
	}
	if err != nil {
		return nil, err
	}
	defer place.Close()
	path := fmt.Sprintf("/proc/self/fd/%d/%s", place.Fd(), name) // an address takes 108 bytes (unix(7))
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the notify socket of an earlier start: %w", err)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "notify socket")
	if err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err == nil {
		err = syscall.Chmod(path, 0o777) // whoever the process is
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the container's notify socket: %w", err), file.Close())
	}
	return &Socket{file: file, host: host}, nil
}

// Close gives the socket up.
func (s *Socket) Close() error { return s.file.Close() }

// End says that nothing more will come: Forward returns when it has read what has
// (unix(7), shutdown(2)).
func (s *Socket) End() error {
	s.ended.Store(true)
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = os.NewSyscallError("shutdown", syscall.Shutdown(int(fd), syscall.SHUT_RD)) })
	return errors.Join(cerr, err)
}

// Forward waits until the container says that it is ready, and tells the caller's
// manager, with pid as the service's main process.
func (s *Socket) Forward(pid int) error {
	for {
		said, err := s.receive()
		if err != nil || len(said) == 0 && s.ended.Load() {
			return err
		}
		for line := range bytes.Lines(said) {
			if line = bytes.TrimSuffix(line, []byte("\n")); bytes.HasPrefix(line, []byte("READY=")) {
				return s.tell(string(line), pid)
			}
		}
	}
}

// ForwardUntil is Forward until a process, of which it closes the pidfd, has ended.
func (s *Socket) ForwardUntil(process *os.File, pid int) error {
	done, ended := make(chan error, 1), make(chan error, 1)
	go func() { done <- s.Forward(pid) }()
	go func() { ended <- linux.WaitReadable(process) }()
	select {
	case err := <-done:
		err = errors.Join(err, process.Close())
		<-ended
		return err
	case err := <-ended:
		return errors.Join(err, process.Close(), s.End(), <-done)
	}
}

func (s *Socket) receive() ([]byte, error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, maxMessage)
	var n int
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		n, _, rerr = syscall.Recvfrom(int(fd), buf, 0)
		return !errors.Is(rerr, syscall.EAGAIN) || s.ended.Load()
	})
	if errors.Is(rerr, syscall.EAGAIN) { // after End: a datagram socket does not tell its end otherwise
		return nil, err
	}
	if err == nil {
		err = os.NewSyscallError("recvfrom", rerr)
	}
	return buf[:max(n, 0)], err
}

// tell says that the container is ready and which process is the service's, and
// waits until the manager has read it: it drops what the dead have said.
func (s *Socket) tell(ready string, pid int) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	if strings.HasPrefix(s.host, "/") || strings.HasPrefix(s.host, "@") {
		err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: s.host})
	} else {
		err = syscall.EAFNOSUPPORT // vsock: for virtual machines
	}
	if err != nil {
		return fmt.Errorf("pass on that the container is ready: NOTIFY_SOCKET %s: %w", s.host, err)
	}
	for _, text := range []string{ready + "\n", "MAINPID=" + strconv.Itoa(pid) + "\n"} {
		if _, err := syscall.Write(fd, []byte(text)); err != nil {
			return fmt.Errorf("pass on that the container is ready: %w", err)
		}
	}
	return barrier(fd)
}

// barrier waits until all that was sent is read: the manager closes the file that
// comes with the message (sd_notify_barrier(3)).
func barrier(fd int) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = syscall.Sendmsg(fd, []byte("BARRIER=1"), syscall.UnixRights(int(w.Fd())), nil, 0)
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("wait for the manager: %w", err)
	}
	if err := r.SetReadDeadline(time.Now().Add(barrierLimit)); err != nil {
		return err
	}
	if _, err := r.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for the manager: it does not read its NOTIFY_SOCKET: %w", err)
	}
	return nil
}
