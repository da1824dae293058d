package linux

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
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
	// UserXattrs: the marks of overlayfs are extended attributes of the user's, as
	// in a user namespace, which may not set those of the host (Linux 5.11, userxattr).
	UserXattrs bool
}

// OpaqueXattr is the extended attribute by which overlayfs marks a directory that
// hides what is below it, with Overlay.UserXattrs or without.
func OpaqueXattr(user bool) string {
	if user {
		return "user.overlay.opaque"
	}
	return "trusted.overlay.opaque"
}

// MaxLower is the largest number of lower directories of an overlay
// (OVL_MAX_STACK in the kernel's fs/overlayfs).
const MaxLower = 500

// MountOverlay mounts the union o and returns the file of its root directory.
// The mount is detached: no path of the host leads to it and it is gone with
// the last file open in it. Without o.Upper it is read-only, and needs two
// lower directories. Set-user-id bits, devices and programs are of no use in it.
func MountOverlay(o Overlay) (*os.File, error) {
	if len(o.Lower) > MaxLower {
		return nil, fmt.Errorf("mount union of %d layers: overlayfs takes at most %d: %w", len(o.Lower), MaxLower, syscall.EINVAL)
	}
	root, err := configureOverlay(o)
	if errors.Is(err, unix.EINVAL) {
		// lowerdir+ is of Linux 6.7. Whatever else is wrong is so there too.
		return mountOverlayAttached(o)
	}
	return root, err
}

// configureOverlay mounts o with fsconfig(2), one directory a call.
func configureOverlay(o Overlay) (*os.File, error) {
	root, err := os.Open(o.Root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // read only
	appends, err := appendsLayers()
	if err != nil {
		return nil, err
	}
	var mnt *os.File
	if appends {
		mnt, err = newUnion(o, root)
	} else {
		mnt, err = unionOnThread(o)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = mnt.Close() }() // the opened root keeps the mount
	// A new mount is an O_PATH file; callers want one that can be listed.
	return OpenAt(mnt, ".", unix.O_RDONLY|unix.O_DIRECTORY)
}

// appendsLayers says whether overlayfs knows lowerdir+ (Linux 6.7).
var appendsLayers = sync.OnceValues(func() (bool, error) {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false, os.NewSyscallError("fsopen overlay", err)
	}
	defer func() { _ = unix.Close(fd) }() // nothing was made
	// One that knows it looks the layer up at once. Linux 6.1 keeps any option
	// until the mount is made.
	err = unix.FsconfigSetString(fd, "lowerdir+", "/proc/self/fd/none")
	return errors.Is(err, unix.ENOENT), nil
})

// newUnion makes the mount with lowerdir+.
func newUnion(o Overlay, root *os.File) (*os.File, error) {
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
	if o.UserXattrs {
		if err := unix.FsconfigSetFlag(fd, "userxattr"); err != nil {
			return nil, fmt.Errorf("mount union of %s: %w", o.Root, os.NewSyscallError("fsconfig userxattr", err))
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
	return os.NewFile(uintptr(mnt), "union"), nil
}

// unionOnThread makes the mount with mount(2) in the mount namespace of a
// thread that lives for this only, and takes a detached copy of it. All layers
// go into one string of at most a page: they are named by the numbers of open
// files, relative to /proc/self/fd.
func unionOnThread(o Overlay) (union *os.File, err error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close() // O_PATH
		}
	}()
	thread, err := NewMountThread(func() error {
		// Opened here: overlayfs takes only layers of the namespace it is mounted in.
		root, err := os.Open(o.Root)
		if err != nil {
			return err
		}
		files = append(files, root)
		open := func(path string) string {
			dir, oerr := OpenBeneath(root, path, unix.O_PATH|unix.O_DIRECTORY, 0)
			if oerr != nil {
				err = errors.Join(err, oerr)
				return ""
			}
			files = append(files, dir)
			return strconv.Itoa(int(dir.Fd()))
		}
		var lower []string
		for _, l := range o.Lower {
			lower = append(lower, open(l))
		}
		options, flags := "lowerdir="+strings.Join(lower, ":"), uintptr(unix.MS_RDONLY)
		if o.Upper != "" {
			flags = 0
			options += ",upperdir=" + open(o.Upper) + ",workdir=" + open(o.Work)
		}
		if o.UserXattrs {
			options += ",userxattr"
		}
		if err != nil {
			return err
		}
		union, err = mountInFds(o.Root, options, flags)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mount union of %s: %w", o.Root, err)
	}
	thread.Close()
	return union, nil
}

// mountInFds mounts an overlay on dir with /proc/self/fd as working directory,
// and returns a detached copy of the mount. The thread has a working directory
// of its own (unshare(2), CLONE_NEWNS implies CLONE_FS).
func mountInFds(dir, options string, flags uintptr) (*os.File, error) {
	if err := unix.Chdir("/proc/self/fd"); err != nil {
		return nil, os.NewSyscallError("chdir /proc/self/fd", err)
	}
	if err := unix.Mount("overlay", dir, "overlay", flags|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return nil, os.NewSyscallError("mount overlay", err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	return os.NewFile(uintptr(fd), "union"), nil
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
	if err != nil {
		return fmt.Errorf("mount union: %s %s: %w", key, path, os.NewSyscallError("fsconfig", err))
	}
	return nil
}

// mountOverlayAttached mounts o with mount(2), which must attach it: in a mount
// namespace of a thread that ends afterwards. The names of the layers must fit
// one page together, which bounds their number to about 50.
func mountOverlayAttached(o Overlay) (*os.File, error) {
	type result struct {
		root *os.File
		err  error
	}
	done := make(chan result)
	go OnDyingThread(func() {
		root, err := attachOverlay(o)
		done <- result{root, err}
	})
	r := <-done
	return r.root, r.err
}

// attachOverlay leaves the calling thread in another mount namespace.
func attachOverlay(o Overlay) (*os.File, error) {
	options := "lowerdir=" + strings.Join(o.Lower, ":")
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if o.Upper == "" {
		flags |= unix.MS_RDONLY
	} else {
		options += ",upperdir=" + o.Upper + ",workdir=" + o.Work
	}
	if o.UserXattrs {
		options += ",userxattr"
	}
	if len(options) >= os.Getpagesize() {
		return nil, fmt.Errorf("mount union of %d layers: with this kernel about 50 are possible, Linux 6.7 takes %d: %w", len(o.Lower), MaxLower, unix.EINVAL)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, os.NewSyscallError("unshare mounts", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, os.NewSyscallError("make mounts private", err)
	}
	if err := unix.Chdir(o.Root); err != nil { // the thread's own directory since unshare
		return nil, &os.PathError{Op: "chdir", Path: o.Root, Err: err}
	}
	if err := unix.Mount("overlay", o.Root, "overlay", flags, options); err != nil {
		return nil, fmt.Errorf("mount union of %s: %w", o.Root, err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, o.Root, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	place := os.NewFile(uintptr(fd), "union")
	defer func() { _ = place.Close() }() // the opened root keeps the mount
	return OpenAt(place, ".", unix.O_RDONLY|unix.O_DIRECTORY)
}

// NewMount makes a file system that lies nowhere but in memory, with options
// "key=value" and mount attributes, and returns the file of its root directory. The
// mount is detached: it is gone with the last file open in it.
func NewMount(fstype string, options []string, attrs uint64) (*os.File, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a %s: %w", fstype, os.NewSyscallError("fsopen", err))
	}
	defer func() { _ = unix.Close(fs) }() // the mount keeps it
	for _, o := range options {
		key, value, isString := strings.Cut(o, "=")
		if isString {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return nil, fmt.Errorf("make a %s with option %s: %w", fstype, o, os.NewSyscallError("fsconfig", err))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("make a %s with options %s: %w", fstype, strings.Join(options, ","), os.NewSyscallError("fsconfig create", err))
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(attrs))
	if err != nil {
		return nil, os.NewSyscallError("fsmount "+fstype, err)
	}
	return os.NewFile(uintptr(mnt), fstype), nil
}
