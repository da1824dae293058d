// Package copytree copies what is in a directory into another: the first content
// of a volume, or of a tmpfs over a directory of an image.
//
// Level: L0.
// Owns: what of a file is copied.
// May import: internal/linux.
// Must not know: what the directories are for.
package copytree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"berth/internal/linux"
)

// maxDepth bounds the recursion: a path in a container has at most 4,096 bytes.
const maxDepth = 2048

// Copy copies what is in the directory from, and its own owner, mode and
// time, into the empty directory to. Both may be under foreign control: every
// name is opened in its directory and no symbolic link is followed. Hard links
// become files of their own; devices and sockets are left out.
func Copy(ctx context.Context, from, to *os.File) error { return copyDir(ctx, from, to, 0) }

func copyDir(ctx context.Context, from, to *os.File, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("copy %s: directories are nested more than %d deep", from.Name(), maxDepth)
	}
	for {
		names, err := from.Readdirnames(1000)
		for _, name := range names {
			if err := copyOne(ctx, from, to, name, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	st, err := linux.StatAt(from, "")
	if err != nil {
		return err
	}
	return errors.Join(copyXattrs(from, to), linux.ChownAt(to, "", st.UID, st.GID), linux.Chmod(to, st.Mode), linux.SetMtimeAt(to, "", st.Mtime))
}

func copyOne(ctx context.Context, from, to *os.File, name string, depth int) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	st, err := linux.StatAt(from, name)
	if err != nil {
		return err
	}
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return copySubdir(ctx, from, to, name, depth)
	case syscall.S_IFREG:
		return copyFile(from, to, name, st)
	case syscall.S_IFLNK:
		target, err := linux.ReadlinkAt(from, name)
		if err != nil {
			return err
		}
		if err := linux.SymlinkAt(to, name, target); err != nil {
			return err
		}
		return errors.Join(linux.ChownAt(to, name, st.UID, st.GID), linux.SetMtimeAt(to, name, st.Mtime))
	}
	return nil
}

func copySubdir(ctx context.Context, from, to *os.File, name string, depth int) (err error) {
	const flags = syscall.O_RDONLY | syscall.O_DIRECTORY
	source, err := linux.OpenAt(from, name, flags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := linux.MkdirAt(to, name); err != nil {
		return err
	}
	target, err := linux.OpenAt(to, name, flags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	return copyDir(ctx, source, target, depth+1)
}

func copyFile(from, to *os.File, name string, st linux.Stat) (err error) {
	source, err := linux.OpenAt(from, name, syscall.O_RDONLY|syscall.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := linux.CreateAt(to, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if _, err := io.Copy(target, source); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	// The owner goes first: a change of it clears setuid and file capabilities.
	if err := linux.ChownAt(target, "", st.UID, st.GID); err != nil {
		return err
	}
	return errors.Join(linux.Chmod(target, st.Mode), copyXattrs(source, target), linux.SetMtimeAt(target, "", st.Mtime))
}

// copyXattrs copies what users and file capabilities need; "trusted" is the
// host's own.
func copyXattrs(from, to *os.File) error {
	names, err := linux.Xattrs(from)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "user.") && name != "security.capability" && !strings.HasPrefix(name, "system.posix_acl_") {
			continue
		}
		value, err := linux.Xattr(from, name)
		if err != nil {
			return err
		}
		if err := linux.SetXattr(to, name, value); err != nil {
			return err
		}
	}
	return nil
}
