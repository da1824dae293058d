package linux

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxControl bounds what ReadControl reads: the longest real ones
// (memory.numa_stat, a large blkio table) are a few ten kB.
const maxControl = 1 << 20

// WriteControl opens the kernel's control file at path (cgroup, proc, sys) once
// and writes each of data with one write(2), as such files demand. It never
// creates a file. A failure is an *os.PathError whose Op is "open" or "write";
// what was written before it stays.
func WriteControl(path string, data ...string) error {
	return (*ControlTree)(nil).Write(path, data...)
}

// ReadControl reads a control file whole, without the bookkeeping that os.Open
// does for files that may block. More than 1 MiB is EFBIG. A failure is an
// *os.PathError whose Op is "open" or "read".
func ReadControl(path string) (string, error) { return (*ControlTree)(nil).Read(path) }

// Rmdir removes a directory. A failure is an *os.PathError. (os.Remove would try
// unlink first.)
func Rmdir(path string) error { return (*ControlTree)(nil).Rmdir(path) }

// ControlTree saves the kernel the walk to a directory below which many
// control files are used. Its methods take the same absolute paths as
// functions do: those below the directory are looked up from there. Nil is a tree
// of nothing: every path is looked up from the root.
type ControlTree struct {
	fd     int
	prefix string // ends in a slash
}

// OpenControlTree opens the directory dir. If that does not work it returns
// nil: whoever uses the tree learns why from the path that he uses.
func OpenControlTree(dir string) *ControlTree {
	fd, err := (*ControlTree)(nil).open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil
	}
	return &ControlTree{fd: fd, prefix: strings.TrimSuffix(dir, "/") + "/"}
}

// Close ends the use of the tree. It may be repeated.
func (t *ControlTree) Close() {
	if t != nil && t.fd >= 0 {
		_ = unix.Close(t.fd) // an O_PATH file holds nothing back
		t.fd = -1
	}
}

// at is where to look a path up.
func (t *ControlTree) at(path string) (dirfd int, name string) {
	if t != nil && t.fd >= 0 && len(path) > len(t.prefix) && path[:len(t.prefix)] == t.prefix {
		return t.fd, path[len(t.prefix):]
	}
	return unix.AT_FDCWD, path
}

// Write is WriteControl.
func (t *ControlTree) Write(path string, data ...string) error {
	fd, err := t.open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, d := range data {
		if err := writeOnce(fd, d); err != nil {
			return &os.PathError{Op: "write", Path: path, Err: err}
		}
	}
	return nil
}

func writeOnce(fd int, data string) error {
	for {
		n, err := unix.Write(fd, []byte(data))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n != len(data) {
			return unix.EIO
		}
		return err
	}
}

// Read is ReadControl.
func (t *ControlTree) Read(path string) (string, error) {
	fd, err := t.open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, 4096)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		room := cap(buf) - len(buf)
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && len(buf)+n > maxControl {
			err = unix.EFBIG
		}
		if err != nil {
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		}
		buf = buf[:len(buf)+n]
		// The kernel gives such a file in whole lines, as many as fit (fs/seq_file.c):
		// with room left for the longest line of a cgroup's files that was the end.
		if n == 0 || room-n >= longestLine {
			return string(buf), nil
		}
	}
}

// longestLine is more than one line of a control file has.
const longestLine = 2048

// ReadTable reads a table of proc(5) whose lines may be long, such as mountinfo,
// of at most limit bytes; a longer one is EFBIG.
func ReadTable(path string, limit int) (string, error) {
	fd, err := (*ControlTree)(nil).open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, 16<<10)
	for {
		if cap(buf)-len(buf) < 4096 {
			buf = append(make([]byte, 0, 4*cap(buf)), buf...)
		}
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && len(buf)+n > limit:
			err = unix.EFBIG
		}
		if err != nil {
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return string(buf), nil
		}
		buf = buf[:len(buf)+n]
	}
}

// Mkdir makes a directory. A failure is an *os.PathError.
func (t *ControlTree) Mkdir(path string) error {
	dirfd, name := t.at(path)
	for {
		err := unix.Mkdirat(dirfd, name, 0o755)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "mkdir", Path: path, Err: err}
		}
		return nil
	}
}

// Rmdir is the function Rmdir.
func (t *ControlTree) Rmdir(path string) error {
	dirfd, name := t.at(path)
	for {
		err := unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "rmdir", Path: path, Err: err}
		}
		return nil
	}
}

// OpenWrite opens a control file for another process to write.
func (t *ControlTree) OpenWrite(path string) (*os.File, error) { return t.file(path, unix.O_WRONLY) }

// OpenDir opens a directory with O_PATH, for another process to start in.
func (t *ControlTree) OpenDir(path string) (*os.File, error) {
	return t.file(path, unix.O_PATH|unix.O_DIRECTORY)
}

func (t *ControlTree) file(path string, flags int) (*os.File, error) {
	fd, err := t.open(path, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (t *ControlTree) open(path string, flags int) (int, error) {
	dirfd, name := t.at(path)
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}

// MayWrite tells whether this process may make files in a directory or, if it
// does not exist, in the nearest one above it that does. The error is access(2)'s.
func MayWrite(dir string) error {
	for {
		err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		up := filepath.Dir(dir)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOENT) && up != dir:
			dir = up
		case err != nil:
			return &os.PathError{Op: "access", Path: dir, Err: err}
		default:
			return nil
		}
	}
}
