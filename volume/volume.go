// Package volume keeps named volumes: directories that outlive containers.
//
// Level: L2.
// Owns: volumes/<name>/data below the data root.
// May import: internal/atomicfile.
// Must not know: containers, how a volume is mounted.
//
// # On disk
//
//	volumes/             0700
//	volumes/<name>/data  the volume, 0755, ids as the containers wrote them
package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"berth/internal/atomicfile"

	"github.com/containerd/errdefs"
)

// Store holds the volumes of a data root. It is safe for concurrent use: the
// kernel orders what it does.
type Store struct{ root string }

// Open opens the volumes below dir and makes it if missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open volumes: %w", err)
	}
	return &Store{dir}, nil
}

const maxName = 128

// CheckName says whether name may name a volume: letters, digits, "_", "." and
// "-", the first a letter or digit, at least two. Class InvalidArgument.
func CheckName(name string) error {
	ok := len(name) >= 2 && len(name) <= maxName
	for i, c := range []byte(name) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && strings.IndexByte("_.-", c) >= 0)
	}
	if ok {
		return nil
	}
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
		"invalid volume name %.80q: use 2 to %d of [a-zA-Z0-9_.-], the first a letter or digit", name, maxName))
}

// Ensure returns the directory of a volume and makes it if it is new.
func (s *Store) Ensure(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	dir := filepath.Join(s.root, name)
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); err == nil {
		return data, nil
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make volume %s: %w", name, err)
	}
	if err := os.Mkdir(data, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make volume %s: %w", name, err)
	}
	return data, errors.Join(atomicfile.SyncDir(dir), atomicfile.SyncDir(s.root))
}

// Remove deletes a volume; removing what is not there is no error.
func (s *Store) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(s.root, name)); err != nil {
		return fmt.Errorf("remove volume %s: %w", name, err)
	}
	return nil
}
