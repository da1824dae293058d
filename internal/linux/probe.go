package linux

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// DetachedLayers says whether overlayfs takes layers below a mount that is
// attached nowhere, by trying: Linux 6.15 and later do, before it is EINVAL. An
// error says that the kernel lacks tmpfs, overlayfs or the mount calls at all.
func DetachedLayers() (_ bool, err error) {
	tmp, err := newMount("tmpfs", nil)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, tmp.Close()) }()
	var opts []string
	for _, name := range []string{"a", "b"} {
		if err := unix.Mkdirat(int(tmp.Fd()), name, 0o700); err != nil {
			return false, os.NewSyscallError("mkdirat", err)
		}
		opts = append(opts, fmt.Sprintf("/proc/self/fd/%d/%s", tmp.Fd(), name))
	}
	union, err := newMount("overlay", opts)
	if errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, union.Close()
}

// newMount makes a detached mount; lower are the layers of an overlay.
func newMount(fstype string, lower []string) (_ *os.File, err error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open file system %s: %w", fstype, err)
	}
	defer func() { err = errors.Join(err, unix.Close(fs)) }()
	for _, l := range lower {
		if err := unix.FsconfigSetString(fs, "lowerdir+", l); err != nil {
			return nil, fmt.Errorf("add layer: %w", err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("make file system %s: %w", fstype, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mount file system %s: %w", fstype, err)
	}
	return os.NewFile(uintptr(fd), fstype), nil
}
