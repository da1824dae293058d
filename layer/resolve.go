package layer

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"berth/internal/linux"
)

// resolve opens the directory at a clean path. Symbolic links on the way are
// followed if they are relative and stay inside; with create, what is missing
// is made. The result's path is canonical.
func (x *extractor) resolve(path string, create bool) (*dir, error) {
	if d := x.dirs.get(path); d != nil {
		return d, nil
	}
	f, err := linux.OpenBeneath(x.dirs.root.f, path, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	switch {
	case err == nil:
		return x.dirs.add(path, f)
	case errors.Is(err, syscall.ENOENT) && !create:
		return nil, err
	case !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ELOOP) && !errors.Is(err, syscall.ENOTDIR):
		return nil, err
	}
	// Something is missing or no directory: find it, from the top.
	up, base := split(path)
	parent, err := x.resolve(up, create)
	if err != nil {
		return nil, err
	}
	if parent.path != up {
		return x.resolve(join(parent.path, base), create)
	}
	return x.step(parent, base, create)
}

// step enters base in parent, which could not just be opened.
func (x *extractor) step(parent *dir, base string, create bool) (*dir, error) {
	path := join(parent.path, base)
	if _, err := cleanName(path, false); err != nil {
		return nil, err // symbolic links made it too long or too deep
	}
	st, err := linux.StatAt(parent.f, base)
	switch {
	case errors.Is(err, syscall.ENOENT) && create:
		return x.makeImplicit(parent, base)
	case err != nil:
		return nil, err
	case st.IsSymlink():
		return x.follow(parent, base, create)
	case st.IsWhiteout() && create:
		d, err := x.makeImplicit(parent, base)
		if err != nil {
			return nil, err
		}
		return d, x.markOpaque(d)
	case !st.IsDir():
		return nil, refuse("%.200q is not a directory", path)
	}
	return x.openDir(parent, base)
}

// follow enters the directory that the symbolic link base in at points to. It
// walks the target as the kernel would: a ".." leaves the directory reached so
// far, not the last component of the text.
func (x *extractor) follow(at *dir, base string, create bool) (*dir, error) {
	link := join(at.path, base)
	if x.links++; x.links > maxLinks {
		return nil, refuse("too many symbolic links at %.200q", link)
	}
	target, err := linux.ReadlinkAt(at.f, base)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(target, "/") {
		return nil, refuse("passes the absolute symbolic link %.200q -> %.200q", link, target)
	}
	for component := range strings.SplitSeq(target, "/") {
		switch component {
		case "", ".":
			continue
		case "..":
			if at.path == "." {
				return nil, refuse("passes the symbolic link %.200q -> %.200q out of the layer", link, target)
			}
			up, _ := split(at.path)
			at, err = x.resolve(up, create)
		default:
			at, err = x.resolve(join(at.path, component), create)
		}
		if err != nil {
			return nil, err
		}
	}
	return at, nil
}

// makeImplicit makes a directory that the tar has no entry for, in place of a
// whiteout if there is one.
func (x *extractor) makeImplicit(parent *dir, base string) (*dir, error) {
	path := join(parent.path, base)
	if x.implicitBytes += len(path) + 64; x.implicitBytes > maxImplicit {
		return nil, limit("layer has too many directories without an entry of their own")
	}
	d, err := x.makeDir(parent, base)
	if err != nil {
		return nil, err
	}
	x.implicit[path] = struct{}{}
	// A set-group-id parent hands down its group.
	return d, errors.Join(linux.ChownAt(d.f, "", 0, 0), linux.Chmod(d.f, 0o755))
}

// makeDir makes and opens a directory, in place of whatever had the name.
func (x *extractor) makeDir(parent *dir, base string) (*dir, error) {
	err := x.make(parent, base, func() error { return linux.MkdirAt(parent.f, base) })
	if err != nil {
		return nil, err
	}
	return x.openDir(parent, base)
}

// openDir opens the existing directory base in parent.
func (x *extractor) openDir(parent *dir, base string) (*dir, error) {
	f, err := linux.OpenAt(parent.f, base, syscall.O_RDONLY|syscall.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return x.dirs.add(join(parent.path, base), f)
}

// make calls do, which makes base in parent. If the name is taken, what has it
// is removed first: the later entry of a tar wins.
func (x *extractor) make(parent *dir, base string, do func() error) error {
	parent.touched = true
	err := do()
	if !errors.Is(err, syscall.EEXIST) {
		return err
	}
	if err := x.remove(parent, base); err != nil {
		return err
	}
	return do()
}

// remove removes base in parent with all below it.
func (x *extractor) remove(parent *dir, base string) error {
	err := linux.UnlinkAt(parent.f, base)
	if !errors.Is(err, syscall.EISDIR) {
		return err
	}
	path := join(parent.path, base)
	if err := x.dirs.forget(path); err != nil {
		return err
	}
	return linux.RemoveTreeAt(parent.f, base)
}

// markOpaque hides what the layers below have in d.
func (x *extractor) markOpaque(d *dir) error {
	return linux.SetXattr(d.f, linux.OpaqueXattr(x.inUserNamespace), []byte("y"))
}

// lookup opens the directory of an existing path and returns the last
// component with it; os.ErrNotExist if this layer has no such directory.
func (x *extractor) lookup(path string) (*dir, string, error) {
	if path == "." {
		return nil, "", os.ErrInvalid
	}
	up, base := split(path)
	d, err := x.resolve(up, false)
	return d, base, err
}
