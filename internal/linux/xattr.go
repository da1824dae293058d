package linux

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// SetXattr sets an extended attribute of the open file f (fsetxattr(2)).
// EOPNOTSUPP if the file system has none of that name space, EPERM for user.*
// on what is neither a regular file nor a directory.
func SetXattr(f *os.File, name string, value []byte) error {
	return xattrErr("set", f, name, unix.Fsetxattr(int(f.Fd()), name, value, 0))
}

// Xattr returns an extended attribute of the open file f; ENODATA if it has
// none of that name.
func Xattr(f *os.File, name string) ([]byte, error) {
	// The value may grow between the two calls: ask again then (ERANGE).
	for {
		n, err := unix.Fgetxattr(int(f.Fd()), name, nil)
		if err != nil {
			return nil, xattrErr("get", f, name, err)
		}
		buf := make([]byte, n)
		n, err = unix.Fgetxattr(int(f.Fd()), name, buf)
		if errors.Is(err, unix.ERANGE) {
			continue
		}
		if err != nil {
			return nil, xattrErr("get", f, name, err)
		}
		return buf[:n], nil
	}
}

// Xattrs returns the names of all extended attributes of the open file f that
// the caller may see.
func Xattrs(f *os.File) ([]string, error) {
	for {
		n, err := unix.Flistxattr(int(f.Fd()), nil)
		if n == 0 || err != nil {
			return nil, xattrErr("list", f, "", err)
		}
		buf := make([]byte, n)
		n, err = unix.Flistxattr(int(f.Fd()), buf)
		if errors.Is(err, unix.ERANGE) {
			continue
		}
		if err != nil || n == 0 {
			return nil, xattrErr("list", f, "", err)
		}
		return strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"), nil
	}
}

func xattrErr(op string, f *os.File, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op + " xattr " + name, Path: f.Name(), Err: err}
}
