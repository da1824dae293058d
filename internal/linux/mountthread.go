package linux

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// MountThread is a thread with a mount namespace of its own. Programs that are
// started on it see the mounts as it does; the rest of the process does not.
type MountThread struct {
	work  chan func()
	ended sync.WaitGroup
}

// NewMountThread starts a thread, gives it a private copy of the mounts and runs
// change on it, which may unmount and mount (unshare(2) CLONE_NEWNS). The
// caller closes it.
func NewMountThread(change func() error) (*MountThread, error) {
	t := &MountThread{work: make(chan func())}
	ready := make(chan error)
	t.ended.Go(func() {
		OnDyingThread(func() {
			err := unshareMounts()
			if err == nil {
				err = change()
			}
			ready <- err
			for f := range t.work {
				f()
			}
		})
	})
	if err := <-ready; err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// OnDyingThread runs f on a thread that ends with it, and whatever f did to the
// thread's namespaces ends too. It is the last thing its goroutine does. Never on
// the process's first thread: that one
// cannot end, would keep the mounts, and /proc/self would tell of them.
func OnDyingThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f() // never unlocked: the caller's goroutine ends, and the thread with it
		return
	}
	var other sync.WaitGroup
	other.Go(func() { OnDyingThread(f) }) // not here: this thread is taken
	other.Wait()
	runtime.UnlockOSThread()
}

func unshareMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare CLONE_NEWNS", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return nil
}

// Do runs f on the thread and returns when it has.
func (t *MountThread) Do(f func()) {
	done := make(chan struct{})
	t.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// Close ends the thread.
func (t *MountThread) Close() {
	close(t.work)
	t.ended.Wait()
}

// BindMount makes source a mount at target, with what is mounted below it (mount(2) MS_BIND).
func BindMount(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return &os.PathError{Op: "bind", Path: target, Err: err}
	}
	return nil
}

// CloneMountIn returns a detached copy of the one mount at path in the mount
// namespace ns, whose processes may be hostile: no link is followed, and set-user-id
// bits, devices and programs are of no use in the copy.
func CloneMountIn(ns *os.File, path string) (mnt *os.File, err error) {
	var cloned sync.WaitGroup
	cloned.Go(func() {
		OnDyingThread(func() { mnt, err = cloneMountIn(ns, path) })
	})
	cloned.Wait()
	return mnt, err
}

// cloneMountIn leaves the calling thread in another mount namespace.
func cloneMountIn(ns *os.File, path string) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns(2) asks for it
		return nil, os.NewSyscallError("unshare CLONE_FS", err)
	}
	var err error
	if cerr := control(ns, func(fd int) { err = unix.Setns(fd, unix.CLONE_NEWNS) }); cerr != nil || err != nil {
		return nil, errors.Join(cerr, os.NewSyscallError("setns CLONE_NEWNS", err))
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	at, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(at) }() // O_PATH
	fd, err := unix.OpenTree(at, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, &os.PathError{Op: "copy mount", Path: path, Err: err}
	}
	mnt := os.NewFile(uintptr(fd), path)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, errors.Join(&os.PathError{Op: "change mount", Path: path, Err: err}, mnt.Close())
	}
	return mnt, nil
}
