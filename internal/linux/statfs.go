package linux

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// FreeBytes returns how many bytes an unprivileged process may still write to
// the file system that holds path (statfs(2), f_bavail). A failure is an
// *os.PathError.
func FreeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
		}
		free := st.Bavail * uint64(st.Bsize)
		return int64(min(free, math.MaxInt64)), nil
	}
}

// FilesystemType is the magic number of the file system that holds path (statfs(2)).
func FilesystemType(path string) (int64, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
		}
		return int64(st.Type), nil
	}
}
