package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// View implements [snapshot.Unions]. overlayfs wants two directories where it
// has no writable one, so empty ones are put below.
func (s *Store) View(chain []digest.Digest) (linux.Overlay, error) {
	lower, err := s.lower(chain)
	if err != nil {
		return linux.Overlay{}, err
	}
	for i := 0; len(lower) < 2; i++ {
		lower = append(lower, path.Join(layersDir, "empty", fmt.Sprint(i)))
	}
	return linux.Overlay{Root: s.root, Lower: lower, UserXattrs: s.userXattrs}, nil
}

// Prepare implements [snapshot.Unions]. The writable layer's top directory is
// the container's "/": it takes the owner and mode of the topmost layer's.
func (s *Store) Prepare(_ context.Context, container string, chain []digest.Digest) (linux.Overlay, error) {
	if err := checkContainer(container); err != nil {
		return linux.Overlay{}, err
	}
	lower, err := s.lower(chain)
	if err != nil {
		return linux.Overlay{}, err
	}
	if len(lower) == 0 {
		lower = []string{path.Join(layersDir, "empty", "0")}
	}
	dir := path.Join(containersDir, container)
	union := linux.Overlay{Root: s.root, Lower: lower, Upper: path.Join(dir, "upper"), Work: path.Join(dir, "work"), UserXattrs: s.userXattrs}
	if err := s.makeWritable(union); err != nil {
		return linux.Overlay{}, fmt.Errorf("make writable layer of container %s: %w", container, err)
	}
	return union, nil
}

// makeWritable makes the directories of a union's writable layer unless they
// are there. upper is made last and under a temporary name, so it never has a
// wrong mode.
func (s *Store) makeWritable(o linux.Overlay) error {
	work, upper := filepath.Join(s.root, o.Work), filepath.Join(s.root, o.Upper)
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	_, err := os.Lstat(upper)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	top, err := os.Open(filepath.Join(s.root, o.Lower[0]))
	if err != nil {
		return err
	}
	defer func() { _ = top.Close() }() // read only
	st, err := linux.StatAt(top, "")
	if err != nil {
		return err
	}
	tmp := upper + ".new"
	if err := os.Mkdir(tmp, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(tmp)
	if err != nil {
		return err
	}
	err = errors.Join(linux.ChownAt(dir, "", st.UID, st.GID), linux.Chmod(dir, st.Mode), dir.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp, upper)
}

// lower returns the directories of a chain, topmost first. It ends at a layer
// that hides all below it: overlayfs does not look at the mark of an opaque
// directory on the top directory of a layer.
func (s *Store) lower(chain []digest.Digest) ([]string, error) {
	if len(chain) > linux.MaxLower {
		return nil, fmt.Errorf("image has %d layers: overlayfs takes at most %d: %w", len(chain), linux.MaxLower, errdefs.ErrInvalidArgument)
	}
	var lower []string
	for i := len(chain) - 1; i >= 0; i-- {
		if err := checkDigest(chain[i]); err != nil {
			return nil, err
		}
		hides, err := s.hidesBelow(s.layers(chain[i].Encoded()))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("layer %s is not unpacked: pull its image again: %w", chain[i], errdefs.ErrNotFound)
		}
		if err != nil {
			return nil, fmt.Errorf("look at layer %s: %w", chain[i], err)
		}
		lower = append(lower, path.Join(layersDir, chain[i].Encoded()))
		if hides {
			break
		}
	}
	return lower, nil
}

func (s *Store) hidesBelow(layer string) (bool, error) {
	dir, err := os.Open(layer)
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }() // read only
	value, err := linux.Xattr(dir, linux.OpaqueXattr(s.userXattrs))
	if errors.Is(err, syscall.ENODATA) {
		return false, nil
	}
	return string(value) == "y", err
}

// Usage implements [snapshot.Unions].
func (s *Store) Usage(container string) (int64, error) {
	if err := checkContainer(container); err != nil {
		return 0, err
	}
	n, err := diskUsage(filepath.Join(s.root, containersDir, container, "upper"))
	if err != nil {
		return 0, fmt.Errorf("size of writable layer of container %s: %w", container, err)
	}
	return n, nil
}

// Discard implements [snapshot.Unions]. The container's directory itself goes
// only if nothing else is in it: the record in it is not ours.
func (s *Store) Discard(_ context.Context, container string) error {
	if err := checkContainer(container); err != nil {
		return err
	}
	dir := filepath.Join(s.root, containersDir, container)
	for _, name := range []string{"upper", "upper.new", "work"} {
		if err := removeTree(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove writable layer of container %s: %w", container, err)
		}
	}
	_ = os.Remove(dir) // not empty: its owner removes it
	return nil
}
