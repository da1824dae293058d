package rootfs

import (
	"fmt"
	"os"
	"path"
	"strings"

	"berth/internal/linux"
)

// Tree is what a container sees of files: its root, and what is bound over it.
type Tree struct {
	Root *os.File
	// Binds are the host's files and directories by where the container sees them.
	Binds map[string]string
}

// open opens name as the container would. A symbolic link from the root into a
// bind is not followed into it.
func (t Tree) open(name string, flags int) (*os.File, error) {
	dst, src := t.bind(name)
	if src == "" {
		return linux.OpenInRoot(t.Root, name, flags, 0)
	}
	rest := strings.TrimPrefix(path.Clean(name), dst)
	if rest == "" {
		return os.OpenFile(src, flags, 0)
	}
	dir, err := os.OpenFile(src, oPath|os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return linux.OpenInRoot(dir, rest, flags, 0)
}

// bind finds the innermost bind that name is at or below.
func (t Tree) bind(name string) (dst, src string) {
	for at := path.Clean(name); at != "/" && at != "."; at = path.Dir(at) {
		if s := t.Binds[at]; s != "" {
			return at, s
		}
	}
	return "", ""
}

// where names, for an error, what holds name.
func (t Tree) where(name string) string {
	if dst, src := t.bind(name); src != "" {
		return fmt.Sprintf("in %s, which is mounted at %s", src, dst)
	}
	return "in the image"
}

func (t Tree) stat(name string) (os.FileInfo, error) {
	f, err := t.open(name, oPath)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}
