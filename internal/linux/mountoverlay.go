package linux

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Overlay is a union of directories, as overlayfs mounts it: lower directories
// that are never written and one upper directory that takes all changes.
type Overlay struct {
	// Root is an absolute host directory under which all the others lie. It is
	// seen through one (idmapped) mount, so the cost does not grow with the
	// number of layers.
	Root string
	// Lower holds paths relative to Root, topmost first. At least one.
	Lower []string
	// Upper and Work are paths relative to Root, on one file system. Both
	// empty: the union is read-only.
	Upper, Work string
}

// MaxLower is the largest number of lower directories of an overlay
// (OVL_MAX_STACK in the kernel's fs/overlayfs).
const MaxLower = 500

// MountOverlay mounts the union o and returns the file of its root directory.
// The mount is detached: no path of the host leads to it and it is gone with
// the last file open in it. Without o.Upper it is read-only, and needs two
// lower directories. It takes Linux 6.7; an older kernel is an
// errors.ErrUnsupported.
func MountOverlay(o Overlay) (*os.File, error) {
	if len(o.Lower) > MaxLower {
		return nil, fmt.Errorf("mount union of %d layers: overlayfs takes at most %d: %w", len(o.Lower), MaxLower, syscall.EINVAL)
	}
	root, err := os.Open(o.Root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // read only
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen overlay", err)
	}
	fs := os.NewFile(uintptr(fd), "overlay")
	defer func() { _ = fs.Close() }() // the configuration; the mount stays
	for _, lower := range o.Lower {
		if err := setOverlayDir(fs, root, "lowerdir+", lower); err != nil {
			return nil, err
		}
	}
	attr := unix.MOUNT_ATTR_RDONLY
	if o.Upper != "" {
		attr = 0
		if err := errors.Join(setOverlayDir(fs, root, "upperdir", o.Upper), setOverlayDir(fs, root, "workdir", o.Work)); err != nil {
			return nil, err
		}
	}
	if err := unix.FsconfigCreate(fd); err != nil {
		return nil, fmt.Errorf("mount union of %s: %w", o.Root, os.NewSyscallError("fsconfig create", err))
	}
	mnt, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, attr|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsmount overlay", err)
	}
	place := os.NewFile(uintptr(mnt), "union")
	defer func() { _ = place.Close() }() // the opened root keeps the mount
	// fsmount gives an O_PATH file; callers want one that can be listed.
	return OpenAt(place, ".", unix.O_RDONLY|unix.O_DIRECTORY)
}

// setOverlayDir adds one directory below root. Its path is given through an
// open file because fsconfig(2) takes strings of at most 255 bytes, and so
// that no symbolic link is followed.
func setOverlayDir(fs, root *os.File, key, path string) error {
	dir, err := OpenBeneath(root, path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // O_PATH
	err = unix.FsconfigSetString(int(fs.Fd()), key, "/proc/self/fd/"+strconv.Itoa(int(dir.Fd())))
	if errors.Is(err, unix.EINVAL) && key == "lowerdir+" {
		return fmt.Errorf("mount union: overlayfs's lowerdir+ (Linux 6.7): %w", errors.ErrUnsupported)
	}
	if err != nil {
		return fmt.Errorf("mount union: %s %s: %w", key, path, os.NewSyscallError("fsconfig", err))
	}
	return nil
}
