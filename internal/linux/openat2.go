package linux

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OpenInRoot opens path below the directory root as if root were "/" (openat2(2)
// with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS, Linux 5.6): symbolic links,
// absolute ones too, and ".." never leave it. flags are open(2) flags;
// O_CLOEXEC is always added. A failure is an *os.PathError.
func OpenInRoot(root *os.File, path string, flags int, mode os.FileMode) (*os.File, error) {
	return openat2(root, path, flags, mode, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// OpenBeneath opens path below dir and refuses every path that would leave dir
// or passes a symbolic link (RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS): EXDEV or ELOOP.
func OpenBeneath(dir *os.File, path string, flags int, mode os.FileMode) (*os.File, error) {
	return openat2(dir, path, flags, mode, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
}

func openat2(dir *os.File, path string, flags int, mode os.FileMode, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve}
	if flags&(unix.O_CREAT|unix.O_TMPFILE) != 0 {
		how.Mode = uint64(mode.Perm())
	}
	for {
		fd, err := unix.Openat2(int(dir.Fd()), path, &how)
		// EAGAIN: a rename raced with the look-up (openat2(2)); the caller's
		// path is still well defined, so look again.
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}
