package linux

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// flattenDepth is how deep RemoveTreeAt descends before it moves a directory up.
const flattenDepth = 64

// RemoveTreeAt removes name in dir with all below it; it is no error if there
// is no such name. Symbolic links are removed, never followed. A tree of any
// depth is removed with at most flattenDepth open files: a container can nest
// directories far beyond PATH_MAX and any limit of open files, which
// os.RemoveAll cannot remove.
func RemoveTreeAt(dir *os.File, name string) error {
	r := treeRemover{}
	err := unlinkAny(dir, name)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	r.top, err = OpenAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	for {
		moved := r.moved
		if err = r.empty(r.top, 1); err != nil || moved == r.moved {
			break
		}
	}
	if err = errors.Join(err, r.top.Close()); err != nil {
		return err
	}
	return RmdirAt(dir, name)
}

// treeRemover empties the directory top.
type treeRemover struct {
	top   *os.File
	moved int // directories moved up to top
}

// empty removes what is in d, which is depth levels below the tree's parent.
func (r *treeRemover) empty(d *os.File, depth int) error {
	if _, err := d.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		names, err := d.Readdirnames(1024)
		if len(names) == 0 {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		for _, name := range names {
			if err := r.remove(d, name, depth); err != nil {
				return err
			}
		}
	}
}

func (r *treeRemover) remove(d *os.File, name string, depth int) error {
	err := unlinkAny(d, name)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	if depth >= flattenDepth {
		return r.moveUp(d, name)
	}
	sub, err := OpenAt(d, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	if err := errors.Join(r.empty(sub, depth+1), sub.Close()); err != nil {
		return err
	}
	return RmdirAt(d, name)
}

// moveUp moves a deep directory to a new name in top, whose loop finds it.
func (r *treeRemover) moveUp(d *os.File, name string) error {
	for {
		r.moved++
		to := ".moved-" + strconv.Itoa(r.moved)
		err := unix.Renameat2(int(d.Fd()), name, int(r.top.Fd()), to, unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.EEXIST) {
			return pathErr("move up", name, err)
		}
	}
}

// unlinkAny removes a file or an empty directory. ENOTEMPTY for a directory
// that is not; nil if there is nothing.
func unlinkAny(dir *os.File, name string) error {
	err := UnlinkAt(dir, name)
	if errors.Is(err, unix.EISDIR) {
		err = RmdirAt(dir, name)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
