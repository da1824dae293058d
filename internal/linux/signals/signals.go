// Package signals catches all signals of a process that is to pass them on.
//
// Level: L0.
// Owns: its signal handler.
// May import: the standard library, x/sys/unix.
// Must not know: to whom they are passed on.
//
// os/signal does the same for any program. But for each signal, with 60 of them,
// it hands a word to another thread and waits for the answer, which costs more
// than all else that a short run of a container does. The handler here writes the
// signal's number to a pipe, and that is all.
package signals

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Caught are the signals of this process since Catch. There is one in a process
// at a time, and it is for one goroutine.
type Caught struct {
	read   int
	before map[syscall.Signal]action
}

// action is the kernel's struct sigaction (rt_sigaction(2)).
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// pipe is where the handler writes, which runs on any thread at any moment.
// Nothing writes it while signals are caught.
var pipe int32

const (
	saSiginfo  = 0x4
	saOnStack  = 0x08000000
	saRestart  = 0x10000000
	saRestorer = 0x04000000 // amd64 needs it, arm64 ignores it

	maxSignal = 64
)

// kept are the signals that are not caught: they cannot be, they tell of a fault
// in this program or of what its runtime and its children do.
func kept(s syscall.Signal) bool {
	switch s {
	case syscall.SIGKILL, syscall.SIGSTOP,
		syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSYS,
		syscall.SIGURG, syscall.SIGPROF, syscall.SIGPIPE, syscall.SIGCHLD,
		32, 33: // a C library's own
		return true
	}
	return false
}

// Catch begins. Programs that are started later have the default actions again
// (execve(2)). A process that ends need not call Close.
func Catch() (*Caught, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	c := &Caught{read: fds[0], before: make(map[syscall.Signal]action, maxSignal)}
	pipe = int32(fds[1])
	ours := action{handler: handlerAddress(), flags: saSiginfo | saOnStack | saRestart | saRestorer, restorer: restorerAddress(), mask: ^uint64(0)}
	for s := syscall.Signal(1); s <= maxSignal; s++ {
		if kept(s) {
			continue
		}
		var old action
		if err := setAction(s, &ours, &old); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.before[s] = old
	}
	return c, nil
}

func setAction(s syscall.Signal, to, old *action) error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(old)), 8, 0, 0); errno != 0 {
		return fmt.Errorf("rt_sigaction %d: %w", s, errno)
	}
	return nil
}

// AwaitChild calls pass for every signal until a child has ended, which it
// leaves to be reaped. A signal that came before the end is passed.
func (c *Caught) AwaitChild(pid int, pass func(syscall.Signal)) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(pidfd)
	wait := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: int32(c.read), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(wait, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		for _, s := range c.take() {
			pass(s)
		}
		if wait[0].Revents != 0 {
			return nil
		}
	}
}

// take returns the signals that have come.
func (c *Caught) take() []syscall.Signal {
	var b [64]byte
	n, err := unix.Read(c.read, b[:])
	if err != nil { // EAGAIN: there are none
		return nil
	}
	var all []syscall.Signal
	for _, s := range b[:n] {
		all = append(all, syscall.Signal(s))
	}
	return all
}

// Close gives the signals back to whom they belonged before.
func (c *Caught) Close() error {
	var errs []error
	for s, old := range c.before {
		errs = append(errs, setAction(s, &old, nil))
	}
	return errors.Join(append(errs, unix.Close(c.read), unix.Close(int(pipe)))...)
}

// Code addresses, for the kernel.
func handlerAddress() uintptr
func restorerAddress() uintptr
