package facts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"berth/internal/copytree"
	"berth/internal/linux"
	"berth/ociruntime/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// OpenCopyUps makes and fills the spec's tmpfs mounts that begin with what the
// root file system has at their place, in plan's order. The mounts are detached and
// gone with the files. Nothing runs in the container yet, so what is copied
// stands still, unless another container shares it.
func OpenCopyUps(ctx context.Context, s *specs.Spec) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			for _, f := range files {
				_ = f.Close() // nothing was written
			}
			files = nil
		}
	}()
	for _, c := range plan.CopyUps(s) {
		f, err := copyUp(ctx, s, c)
		if err != nil {
			return files, fmt.Errorf("fill the tmpfs at %s: %w", c.Destination, err)
		}
		files = append(files, f)
	}
	return files, nil
}

func copyUp(ctx context.Context, s *specs.Spec, c plan.CopyUp) (_ *os.File, err error) {
	mnt, err := linux.NewMount("tmpfs", append([]string{"source=tmpfs"}, hostIDs(s, c.Data)...), c.Attrs)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = mnt.Close() // the first error counts
		}
	}()
	source, err := OpenOrigin(s, c.Below, c.Destination, syscall.O_RDONLY|syscall.O_DIRECTORY)
	if errors.Is(err, os.ErrNotExist) {
		return mnt, nil
	}
	if err != nil {
		return mnt, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	to, err := linux.OpenAt(mnt, ".", syscall.O_RDONLY|syscall.O_DIRECTORY)
	if err != nil {
		return mnt, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	own, err := linux.StatAt(to, "")
	if err != nil {
		return mnt, err
	}
	if err := copytree.Copy(ctx, source, to); err != nil {
		return mnt, err
	}
	for _, o := range c.Data {
		if strings.HasPrefix(o, "mode=") {
			return mnt, linux.Chmod(to, own.Mode) // what was asked for, not the image's
		}
	}
	return mnt, nil
}

// hostIDs turns the ids in options, which are the container's, into the host's.
// Without any the directory belongs to the container's root.
func hostIDs(s *specs.Spec, options []string) []string {
	if s.Linux == nil {
		return options
	}
	ids := []string{
		fmt.Sprintf("uid=%d", plan.HostID(s.Linux.UIDMappings, 0)),
		fmt.Sprintf("gid=%d", plan.HostID(s.Linux.GIDMappings, 0)),
	}
	for _, o := range options {
		var id uint32
		if _, err := fmt.Sscanf(o, "uid=%d", &id); err == nil {
			o = fmt.Sprintf("uid=%d", plan.HostID(s.Linux.UIDMappings, id))
		} else if _, err := fmt.Sscanf(o, "gid=%d", &id); err == nil {
			o = fmt.Sprintf("gid=%d", plan.HostID(s.Linux.GIDMappings, id))
		}
		ids = append(ids, o)
	}
	return ids
}
