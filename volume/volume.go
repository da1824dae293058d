// Package volume keeps named volumes: directories that outlive containers.
//
// Level: L2.
// Owns: volumes/<name>/data below the data root.
// May import: internal/atomicfile, internal/linux.
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
	"sync"

	"berth/internal/atomicfile"
	"berth/internal/linux"

	"github.com/containerd/errdefs"
)

// Store holds the volumes of a data root. It is safe for concurrent use.
type Store struct {
	root string
	mu   sync.Mutex // held while a volume is made or removed
}

// Open opens the volumes below dir and makes it if missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open volumes: %w", err)
	}
	return &Store{root: dir}, nil
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

// Ensure returns the directory of a volume. If it is new it is made, and fill
// (may be nil) puts into it what the image has in its place. A volume has its
// name only when it is whole; with durable after a power cut, too.
func (s *Store) Ensure(name string, durable bool, fill func(dir *os.File) error) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := filepath.Join(s.root, name)
	data := filepath.Join(dir, "data")
	if _, err := os.Lstat(data); err == nil {
		return data, nil
	}
	if err := s.make(dir, data, durable, fill); err != nil {
		return "", fmt.Errorf("make volume %s: %w", name, errors.Join(err, os.RemoveAll(dir)))
	}
	return data, nil
}

func (s *Store) make(dir, data string, durable bool, fill func(dir *os.File) error) error {
	if err := os.RemoveAll(dir); err != nil { // what a crash has left
		return err
	}
	unfinished := data + ".new"
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(unfinished, 0o755)); err != nil {
		return err
	}
	f, err := os.Open(unfinished)
	if err != nil {
		return err
	}
	if fill != nil {
		err = fill(f)
	}
	if err == nil && durable {
		err = linux.SyncFS(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(unfinished, data); err != nil || !durable {
		return err
	}
	return errors.Join(atomicfile.SyncDir(dir), atomicfile.SyncDir(s.root))
}

// Remove deletes a volume; removing what is not there is no error.
func (s *Store) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.RemoveAll(filepath.Join(s.root, name)); err != nil {
		return fmt.Errorf("remove volume %s: %w", name, err)
	}
	return nil
}
