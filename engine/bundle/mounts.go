package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"berth/container"
	"berth/engine/report"
	"berth/internal/copytree"
	"berth/internal/linux"
	"berth/spec"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
)

// EnsureVolume returns a volume's directory; fill gives a new one its content. One
// that is not durable goes with its container.
type EnsureVolume func(name string, durable bool, fill func(*os.File) error) (string, error)

// Mounts are a container's mounts; all that is to be bound exists then.
func Mounts(ctx context.Context, rec *container.Record, rootfs linux.Overlay, ensure EnsureVolume) ([]spec.Mount, error) {
	mounts, err := spec.Mounts(*rec.Config, rec.HostConfig)
	if err != nil {
		return nil, err
	}
	for i := range mounts {
		m := &mounts[i]
		switch {
		case m.Type == mount.TypeVolume:
			name := m.Name
			if name == "" {
				name = report.AnonymousVolume(rec.ID, m.Target)
			}
			var fill func(*os.File) error
			if !m.NoCopy {
				fill = func(dir *os.File) error { return copyTo(ctx, dir, rootfs, m.Target) }
			}
			if m.Source, err = ensure(name, m.Name != "" || !rec.AutoRemove(), fill); err != nil {
				return nil, err
			}
		case m.Type == mount.TypeBind && m.CreateSource:
			if err := os.MkdirAll(m.Source, 0o755); err != nil && !errors.Is(err, os.ErrExist) && !isFile(m.Source) {
				return nil, fmt.Errorf("make the source of the mount at %s: %w", m.Target, err)
			}
		case m.Type == mount.TypeBind:
			if _, err := os.Stat(m.Source); errors.Is(err, os.ErrNotExist) {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("mount at %s: the source %s does not exist on the host", m.Target, m.Source))
			}
		}
	}
	return mounts, nil
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && !fi.IsDir()
}

// copyTo copies what a container's root has at path into the directory of a new
// volume; a path that is not there, or no directory, leaves it empty.
func copyTo(ctx context.Context, dir *os.File, o linux.Overlay, path string) error {
	root, err := linux.MountOverlay(o)
	if err != nil {
		return fmt.Errorf("look into the container's root: %w", err)
	}
	defer root.Close()
	from, err := linux.OpenInRoot(root, path, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	return copytree.Copy(ctx, from, dir)
}
