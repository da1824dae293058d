package layer

import (
	"archive/tar"
	"errors"
	"math"
	"os"
	"strings"
	"syscall"

	"berth/internal/linux"
)

// entry makes what one tar header describes.
func (x *extractor) entry(hdr *tar.Header) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	x.links = 0
	name, err := cleanName(hdr.Name, x.opts.AbsoluteNames)
	if err != nil {
		return err
	}
	// An id of -1 would mean "leave it" to chown(2).
	if hdr.Uid < 0 || hdr.Gid < 0 || uint64(hdr.Uid) >= math.MaxUint32 || uint64(hdr.Gid) >= math.MaxUint32 {
		return refuse("owner %d:%d is not a user and group id", hdr.Uid, hdr.Gid)
	}
	if strings.Contains(name, whiteoutPrefix) {
		done, err := x.whiteout(name)
		if done || err != nil {
			return err
		}
	}
	if name == "." {
		if hdr.Typeflag != tar.TypeDir {
			return refuse("the layer's root is not a directory")
		}
		return x.directory(x.dirs.root, hdr)
	}
	up, base := split(name)
	parent, err := x.resolve(up, true)
	if err != nil {
		return err
	}
	switch hdr.Typeflag {
	case tar.TypeDir:
		d, err := x.enterDir(parent, base)
		if err != nil {
			return err
		}
		return x.directory(d, hdr)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return x.regular(parent, base, hdr)
	case tar.TypeLink:
		return x.hardlink(parent, base, hdr)
	case tar.TypeSymlink:
		if hdr.Linkname == "" || len(hdr.Linkname) > maxPath {
			return refuse("target is empty or longer than %d bytes", maxPath)
		}
		return x.node(parent, base, hdr, func() error { return linux.SymlinkAt(parent.f, base, hdr.Linkname) })
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		mode, dev, err := device(hdr)
		if err != nil {
			return err
		}
		if x.inUserNamespace && hdr.Typeflag != tar.TypeFifo {
			return nil // only the host's root makes devices; a container has its own
		}
		return x.node(parent, base, hdr, func() error { return linux.MknodAt(parent.f, base, mode, dev) })
	}
	return refuse("type %q is unknown", hdr.Typeflag)
}

// enterDir returns the directory base in parent. One that this layer has
// already is kept; anything else that has the name makes way. A whiteout of
// the name means that what the layers below have there is hidden.
func (x *extractor) enterDir(parent *dir, base string) (*dir, error) {
	path := join(parent.path, base)
	if d := x.dirs.get(path); d != nil {
		return d, nil
	}
	parent.touched = true
	err := linux.MkdirAt(parent.f, base)
	if errors.Is(err, syscall.EEXIST) {
		return x.reenterDir(parent, base)
	}
	if err != nil {
		return nil, err
	}
	return x.openDir(parent, base)
}

// reenterDir is enterDir where the name is taken.
func (x *extractor) reenterDir(parent *dir, base string) (*dir, error) {
	st, err := linux.StatAt(parent.f, base)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return x.openDir(parent, base)
	}
	d, err := x.makeDir(parent, base)
	if err != nil || !st.IsWhiteout() {
		return d, err
	}
	return d, x.markOpaque(d)
}

// directory gives d what its entry says.
func (x *extractor) directory(d *dir, hdr *tar.Header) error {
	delete(x.implicit, d.path)
	d.mtime, d.touched = hdr.ModTime, true
	return setMeta(d.f, hdr)
}

// regular makes a file with its content.
func (x *extractor) regular(parent *dir, base string, hdr *tar.Header) (err error) {
	if hdr.Size > x.opts.MaxSize-x.res.Size {
		return limit("layer's files are larger than %d bytes in sum", x.opts.MaxSize)
	}
	x.res.Size += hdr.Size
	var f *os.File
	err = x.make(parent, base, func() (err error) {
		f, err = linux.CreateAt(parent.f, base)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if isSparse(hdr) {
		err = x.copySparse(f, hdr.Size)
	} else {
		err = x.copy(f)
	}
	if err != nil {
		return err
	}
	if err := setMeta(f, hdr); err != nil {
		return err
	}
	return linux.SetMtimeAt(f, "", hdr.ModTime)
}

// hardlink gives a file of this layer a further name. Its owner, mode and time
// are those of its first entry. A link to a symbolic link is a link to itself,
// never to what it points to.
func (x *extractor) hardlink(parent *dir, base string, hdr *tar.Header) error {
	// The target is a name in the layer, whichever way it is written: some
	// builders (kaniko) start it with "/".
	target, err := cleanName(hdr.Linkname, true)
	if err != nil {
		return refuse("hard link to %.200q: %w", hdr.Linkname, err)
	}
	path := join(parent.path, base)
	from, fromBase, err := x.lookup(target)
	var st linux.Stat
	if err == nil {
		st, err = linux.StatAt(from.f, fromBase)
	}
	switch {
	case errors.Is(err, syscall.ENOENT):
		return refuse("hard link to %.200q, which is not in this layer before it", hdr.Linkname)
	case errors.Is(err, os.ErrInvalid), err == nil && st.IsDir():
		return refuse("hard link to the directory %.200q", hdr.Linkname)
	case err != nil:
		return refuse("hard link to %.200q: %w", hdr.Linkname, err)
	case join(from.path, fromBase) == path, within(join(from.path, fromBase), path):
		return refuse("hard link to %.200q, which it replaces", hdr.Linkname)
	}
	// The look-up may have pushed parent out of the cache.
	if parent, err = x.resolve(parent.path, true); err != nil {
		return err
	}
	return x.make(parent, base, func() error { return linux.LinkAt(from.f, fromBase, parent.f, base) })
}

// node makes a file without content that do makes, and gives it owner and time.
func (x *extractor) node(parent *dir, base string, hdr *tar.Header, do func() error) error {
	if err := x.make(parent, base, do); err != nil {
		return err
	}
	if err := chown(parent.f, base, hdr); err != nil {
		return err
	}
	// chown(2) clears the set-id bits.
	if hdr.Typeflag != tar.TypeSymlink && hdr.Mode&0o6000 != 0 {
		if err := linux.ChmodAt(parent.f, base, uint32(hdr.Mode&0o7777)); err != nil {
			return err
		}
	}
	return linux.SetMtimeAt(parent.f, base, hdr.ModTime)
}

// chown sets the owner. In a user namespace there are only the ids that are mapped.
func chown(dir *os.File, name string, hdr *tar.Header) error {
	err := linux.ChownAt(dir, name, uint32(hdr.Uid), uint32(hdr.Gid))
	if errors.Is(err, syscall.EINVAL) {
		return refuse("owner %d:%d is beyond the ids of this user: give it larger ranges in /etc/subuid and /etc/subgid: %w", hdr.Uid, hdr.Gid, err)
	}
	return err
}

// device returns the mode and number of a special file.
func device(hdr *tar.Header) (mode uint32, dev uint64, err error) {
	mode = uint32(hdr.Mode & 0o7777)
	if hdr.Typeflag == tar.TypeFifo {
		return mode | syscall.S_IFIFO, 0, nil
	}
	// The kernel's numbers have 12 and 20 bits.
	if hdr.Devmajor < 0 || hdr.Devmajor >= 1<<12 || hdr.Devminor < 0 || hdr.Devminor >= 1<<20 {
		return 0, 0, refuse("device number %d:%d does not exist", hdr.Devmajor, hdr.Devminor)
	}
	kind := uint32(syscall.S_IFBLK)
	if hdr.Typeflag == tar.TypeChar {
		kind = syscall.S_IFCHR
	}
	return mode | kind, linux.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor)), nil
}

// setMeta sets owner, mode and extended attributes of a file or directory, in
// this order: chown(2) clears set-id bits and capabilities.
func setMeta(f *os.File, hdr *tar.Header) error {
	if err := chown(f, "", hdr); err != nil {
		return err
	}
	if err := linux.Chmod(f, uint32(hdr.Mode&0o7777)); err != nil {
		return err
	}
	return setXattrs(f, hdr)
}
