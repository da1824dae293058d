package linux

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// OpenNetNS opens the network namespace of a process, or of the calling thread
// if pid is 0. os.ErrProcessDone if there is no such process or it has ended.
func OpenNetNS(pid int) (*os.File, error) {
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

// NewNetNS makes a network namespace (unshare(2) CLONE_NEWNET). It lives as long
// as the file or something in it, sockets for example.
func NewNetNS() (*os.File, error) {
	var file *os.File
	var err error
	var made sync.WaitGroup
	made.Go(func() {
		onDyingThread(func() {
			if err = os.NewSyscallError("unshare CLONE_NEWNET", unix.Unshare(unix.CLONE_NEWNET)); err == nil {
				file, err = OpenNetNS(0)
			}
		})
	})
	made.Wait()
	return file, err
}

// InNetNS runs f on a thread that is in the network namespace ns. What f opens
// stays there: sockets, and files below /proc/sys/net. f starts no goroutine
// that counts on it.
func InNetNS(ns *os.File, f func() error) error {
	var err error
	var ran sync.WaitGroup
	ran.Go(func() {
		runtime.LockOSThread()
		var back func() error
		if back, err = enterNetNS(ns); err != nil {
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

// enterNetNS moves the calling thread and returns the way back.
func enterNetNS(ns *os.File) (back func() error, err error) {
	home, err := OpenNetNS(0)
	if err != nil {
		return nil, err
	}
	if err := setns(ns, unix.CLONE_NEWNET); err != nil {
		return nil, errors.Join(err, home.Close())
	}
	return func() error { return errors.Join(setns(home, unix.CLONE_NEWNET), home.Close()) }, nil
}

func setns(ns *os.File, kind int) error {
	var err error
	if cerr := control(ns, func(fd int) { err = unix.Setns(fd, kind) }); cerr != nil {
		return cerr
	}
	return os.NewSyscallError("setns", err)
}
