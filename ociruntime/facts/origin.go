package facts

import (
	"errors"
	"os"
	"path"
	"strings"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// OpenOrigin opens what a container will find at dest once the given mounts of
// its spec are made, while they are not: in the root file system or in the source
// of a bind that covers it. os.ErrNotExist if there is nothing, as in a new
// file system. No link leads out of either.
func OpenOrigin(s *specs.Spec, mounts []specs.Mount, dest string, flags int) (_ *os.File, err error) {
	root, rest := origin(s, mounts, path.Clean("/"+dest))
	if root == "" {
		return nil, &os.PathError{Op: "open", Path: dest, Err: os.ErrNotExist}
	}
	if rest == "" { // a bind of just this
		return os.OpenFile(root, flags, 0)
	}
	dir, err := linux.OpenPath(root)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return linux.OpenInRoot(dir, rest, flags, 0)
}

// origin finds the file system of dest: the last mount at or above it.
func origin(s *specs.Spec, mounts []specs.Mount, dest string) (root, rest string) {
	if s.Root != nil {
		root = s.Root.Path
	}
	rest = dest
	for _, m := range mounts {
		at := path.Clean("/" + m.Destination)
		below, inside := strings.CutPrefix(dest, at)
		if !inside || below != "" && below[0] != '/' {
			continue
		}
		root, rest = "", ""
		for _, o := range m.Options {
			if o == "bind" || o == "rbind" {
				root, rest = m.Source, below
			}
		}
	}
	return root, rest
}
