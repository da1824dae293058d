package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// Exchange swaps the names of two files of one file system in one step
// (renameat2(2) RENAME_EXCHANGE, Linux 3.15). The error is an *os.LinkError:
// os.ErrNotExist if one is missing, EINVAL if the file system cannot.
func Exchange(a, b string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		return &os.LinkError{Op: "renameat2", Old: a, New: b, Err: err}
	}
	return nil
}
