package linux

import (
	"errors"
	"os"

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
	fd, err := openControl(path, unix.O_WRONLY)
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

// ReadControl reads a control file whole, without the bookkeeping that os.Open
// does for files that may block. More than 1 MiB is EFBIG. A failure is an
// *os.PathError whose Op is "open" or "read".
func ReadControl(path string) (string, error) {
	fd, err := openControl(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, 4096)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
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
		if n == 0 {
			return string(buf), nil
		}
		buf = buf[:len(buf)+n]
	}
}

func openControl(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return fd, nil
	}
}
