// Package notify waits for the kernel to change a file, or to run out of memory
// in a cgroup.
//
// Level: L0.
// Owns: nothing.
// May import: the standard library, golang.org/x/sys/unix.
// Must not know: containers.
package notify

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Watch is what is waited for.
type Watch struct {
	file *os.File
	keep int // a file that must stay open, -1 if there is none
}

// File watches a file for writes, those of the kernel to its control files too
// (inotify(7); of cgroup v2's files since Linux 4.6).
func File(path string) (*Watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY); err != nil {
		return nil, errors.Join(&os.PathError{Op: "inotify_add_watch", Path: path, Err: err}, unix.Close(fd))
	}
	return &Watch{os.NewFile(uintptr(fd), "inotify"), -1}, nil
}

// OOM watches a group of cgroup v1's memory hierarchy for kills
// (Documentation/admin-guide/cgroup-v1/memory.rst, 9 and 10).
func OOM(dir string) (*Watch, error) {
	path := dir + "/memory.oom_control"
	control, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd2", err), unix.Close(control))
	}
	if err := register(dir+"/cgroup.event_control", fmt.Sprintf("%d %d", event, control)); err != nil {
		return nil, errors.Join(err, unix.Close(event), unix.Close(control))
	}
	return &Watch{os.NewFile(uintptr(event), "eventfd"), control}, nil
}

func register(path, line string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	if _, err := unix.Write(fd, []byte(line)); err != nil {
		return errors.Join(&os.PathError{Op: "write", Path: path, Err: err}, unix.Close(fd))
	}
	return unix.Close(fd)
}

// Wait returns after the next event, of which several may have become one. It
// fails once the watch is closed.
func (w *Watch) Wait() error {
	var buf [4096]byte // inotify refuses less than a whole event
	_, err := w.file.Read(buf[:])
	return err
}

// Close ends the watch and a Wait.
func (w *Watch) Close() error {
	err := w.file.Close()
	if w.keep >= 0 {
		err = errors.Join(err, unix.Close(w.keep))
	}
	return err
}
