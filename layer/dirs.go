package layer

import (
	"container/list"
	"errors"
	"os"
	"time"

	"berth/internal/linux"
)

// openDirs is how many directories stay open. A tar lists a tree depth first,
// so the next entry's directory is nearly always among the last few.
const openDirs = 128

// dir is an open directory of the layer. Its path is canonical: no component
// is a symbolic link.
type dir struct {
	path string
	f    *os.File
	// mtime is the time the directory is to have. Making entries in it changes
	// the real one, so that is set back when the directory leaves the cache.
	mtime   time.Time
	touched bool
	elem    *list.Element
}

// dirCache keeps directories open, the last used ones. It must be told when a
// directory is removed ([dirCache.forget]): a name then means another
// directory or a symbolic link, and a kept file would be written to the wrong
// one.
type dirCache struct {
	root   *dir
	byPath map[string]*dir
	recent *list.List // of *dir, last used first; without the root
}

func newDirCache(root *os.File) (*dirCache, error) {
	st, err := linux.StatAt(root, "")
	if err != nil {
		return nil, err
	}
	return &dirCache{
		root:   &dir{path: ".", f: root, mtime: st.Mtime},
		byPath: map[string]*dir{},
		recent: list.New(),
	}, nil
}

// get returns the directory of a canonical path if it is open. It stays open
// until openDirs others were used.
func (c *dirCache) get(path string) *dir {
	if path == "." {
		return c.root
	}
	d := c.byPath[path]
	if d != nil {
		c.recent.MoveToFront(d.elem)
	}
	return d
}

// add takes over the open file f of the directory at a canonical path.
func (c *dirCache) add(path string, f *os.File) (*dir, error) {
	st, err := linux.StatAt(f, "")
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if c.recent.Len() >= openDirs {
		if err := c.drop(c.recent.Back().Value.(*dir)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	d := &dir{path: path, f: f, mtime: st.Mtime}
	d.elem = c.recent.PushFront(d)
	c.byPath[path] = d
	return d, nil
}

// forget closes path and all below it: they are being removed.
func (c *dirCache) forget(path string) error {
	var errs error
	for p, d := range c.byPath {
		if within(p, path) {
			d.touched = false
			errs = errors.Join(errs, c.drop(d))
		}
	}
	return errs
}

// drop sets the directory's time and closes it.
func (c *dirCache) drop(d *dir) error {
	c.recent.Remove(d.elem)
	delete(c.byPath, d.path)
	return errors.Join(d.settle(), d.f.Close())
}

func (d *dir) settle() error {
	if !d.touched {
		return nil
	}
	d.touched = false
	return linux.SetMtimeAt(d.f, "", d.mtime)
}

// close settles and closes all but the root's file, which is the caller's.
func (c *dirCache) close() error {
	var errs error
	for _, d := range c.byPath {
		errs = errors.Join(errs, c.drop(d))
	}
	return errors.Join(errs, c.root.settle())
}
