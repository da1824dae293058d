package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
)

// maxUserFile bounds /etc/passwd and /etc/group.
const maxUserFile = 10 << 20

// ReadFile reads a regular file below root, as the container would see it. It
// returns nil if the file does not exist. A file that is no regular one or
// longer than 10 MiB is of class InvalidArgument.
func ReadFile(root *os.File, name string) ([]byte, error) {
	// O_NONBLOCK: opening a FIFO must not wait for its writer.
	f, err := linux.OpenInRoot(root, name, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the image's %s: %w", name, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, invalid("the image's %s is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxUserFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the image's %s: %w", name, err)
	}
	if len(data) > maxUserFile {
		return nil, invalid("the image's %s is longer than %d MiB", name, maxUserFile>>20)
	}
	return data, nil
}

// UserFiles returns /etc/passwd and /etc/group; nil where there is none.
func UserFiles(root *os.File) (passwd, group io.Reader, err error) {
	p, err := ReadFile(root, "/etc/passwd")
	if err != nil {
		return nil, nil, err
	}
	g, err := ReadFile(root, "/etc/group")
	if err != nil {
		return nil, nil, err
	}
	if p != nil {
		passwd = bytes.NewReader(p)
	}
	if g != nil {
		group = bytes.NewReader(g)
	}
	return passwd, group, nil
}

// MakeWorkdir makes sure that dir, absolute and clean, is a directory below
// root: missing ones are made, owned by root, mode 0755, as Docker does. made
// says whether something was. Something else in the place is of class
// InvalidArgument.
func MakeWorkdir(root *os.File, dir string) (made bool, err error) {
	notDir := func(p string) error {
		return invalid("working directory %s: %s is not a directory in the image: choose another with -w", dir, p)
	}
	at, err := linux.OpenInRoot(root, dir, oPath, 0)
	if err == nil {
		defer at.Close()
		fi, err := at.Stat()
		if err == nil && !fi.IsDir() {
			err = notDir(dir)
		}
		return false, err
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return false, notDir(path.Dir(dir))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("open working directory %s: %w", dir, err)
	}
	p := ""
	for _, name := range strings.Split(strings.Trim(dir, "/"), "/") {
		parent, err := linux.OpenInRoot(root, "/"+p, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
		if err != nil {
			return made, fmt.Errorf("open working directory %s: %w", dir, err)
		}
		p += "/" + name
		// One name below a directory that is held open: nothing can redirect it.
		err = syscall.Mkdirat(int(parent.Fd()), name, 0o755)
		_ = parent.Close() // only used as a place
		switch {
		case err == nil:
			made = true
		case !errors.Is(err, os.ErrExist):
			return made, fmt.Errorf("make working directory %s: %w", dir, err)
		}
	}
	at, err = linux.OpenInRoot(root, dir, oPath|syscall.O_DIRECTORY, 0)
	if err != nil { // a dangling link on the way
		return made, fmt.Errorf("make working directory %s: %w", dir, err)
	}
	return made, at.Close()
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// oPath is O_PATH of open(2), which package syscall lacks.
const oPath = 0o10000000
