// Package netns opens, makes and enters network namespaces.
//
// Level: L0.
// Owns: moving threads between network namespaces.
// May import: the standard library, internal/linux, golang.org/x/sys/unix.
// Must not know: what is done in a namespace.
package netns

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"

	"berth/internal/linux"

	"golang.org/x/sys/unix"
)

// Open opens the network namespace of a process, or of the calling thread
// if pid is 0. os.ErrProcessDone if there is no such process or it has ended.
func Open(pid int) (*os.File, error) {
	path := "/proc/thread-self/ns/net"
	if pid != 0 {
		path = "/proc/" + strconv.Itoa(pid) + "/ns/net"
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil, os.ErrProcessDone // a zombie has no namespaces any more
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// New makes a network namespace (unshare(2) CLONE_NEWNET). It lives as long
// as the file or something in it, sockets for example.
func New() (*os.File, error) {
	var file *os.File
	var err error
	var made sync.WaitGroup
	made.Go(func() {
		linux.OnDyingThread(func() {
			if err = os.NewSyscallError("unshare CLONE_NEWNET", unix.Unshare(unix.CLONE_NEWNET)); err == nil {
				file, err = Open(0)
			}
		})
	})
	made.Wait()
	return file, err
}

// SetUp brings the loopback interface of a network namespace up: a new one has it
// down (netdevice(7)).
func SetUp(ns *os.File) error {
	return Do(ns, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		lo, err := unix.NewIfreq("lo")
		if err == nil {
			lo.SetUint16(unix.IFF_UP)
			err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
		}
		return errors.Join(os.NewSyscallError("ioctl SIOCSIFFLAGS", err), unix.Close(fd))
	})
}

// Do runs f on a thread that is in the network namespace ns. What f opens
// stays there: sockets, and files below /proc/sys/net. f starts no goroutine
// that counts on it.
func Do(ns *os.File, f func() error) error {
	var err error
	var ran sync.WaitGroup
	ran.Go(func() {
		runtime.LockOSThread()
		var back func() error
		if back, err = enter(ns); err != nil {
			runtime.UnlockOSThread()
			return
		}
		err = f()
		if back() == nil {
			runtime.UnlockOSThread()
		} // else the thread ends with the goroutine: nothing else may run in there
	})
	ran.Wait()
	return err
}

// enter moves the calling thread and returns the way back.
func enter(ns *os.File) (back func() error, err error) {
	home, err := Open(0)
	if err != nil {
		return nil, err
	}
	if err := setns(ns); err != nil {
		return nil, errors.Join(err, home.Close())
	}
	return func() error { return errors.Join(setns(home), home.Close()) }, nil
}

func setns(ns *os.File) error {
	c, err := ns.SyscallConn()
	if err != nil {
		return err
	}
	cerr := c.Control(func(fd uintptr) { err = unix.Setns(int(fd), unix.CLONE_NEWNET) })
	return errors.Join(cerr, os.NewSyscallError("setns", err))
}
