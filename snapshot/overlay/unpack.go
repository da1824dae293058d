package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"berth/internal/atomicfile"
	"berth/internal/cleanup"
	"berth/internal/linux"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// Unpack implements [snapshot.Layers].
func (s *Store) Unpack(ctx context.Context, chain []digest.Digest, diffID digest.Digest, blob io.Reader) error {
	if err := checkChain(chain, diffID); err != nil {
		return err
	}
	top := chain[len(chain)-1]
	mine, err := s.claim(ctx, top)
	if err != nil || !mine {
		return err
	}
	defer s.release(top)
	for _, lower := range chain[:len(chain)-1] {
		if !s.Has(lower) {
			return fmt.Errorf("unpack layer %s: the layer below it, %s, is missing: %w", diffID, lower, errdefs.ErrFailedPrecondition)
		}
	}
	err = s.unpackNew(ctx, chain, diffID, blob)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("unpack layer %s: the disk of %s is full: free some space or remove images: %w", diffID, s.root, err)
	}
	return fmt.Errorf("unpack layer %s: %w", diffID, err)
}

// checkChain checks that the topmost chain id is the one of diffID on the rest.
func checkChain(chain []digest.Digest, diffID digest.Digest) error {
	if len(chain) == 0 || len(chain) > linux.MaxLower {
		return fmt.Errorf("image has %d layers: overlayfs takes 1 to %d: %w", len(chain), linux.MaxLower, errdefs.ErrInvalidArgument)
	}
	for _, d := range append(chain[:len(chain):len(chain)], diffID) {
		if err := checkDigest(d); err != nil {
			return err
		}
	}
	want, n := diffID, len(chain)
	if n > 1 {
		want = digest.FromString(chain[n-2].String() + " " + diffID.String())
	}
	if chain[n-1] != want {
		return fmt.Errorf("chain id %s does not belong to layer %s: %w", chain[n-1], diffID, errdefs.ErrInvalidArgument)
	}
	return nil
}

// claim makes the caller the one who unpacks the layer, until release. It
// waits for who does already; mine is false if the layer is there then.
func (s *Store) claim(ctx context.Context, chain digest.Digest) (mine bool, err error) {
	for {
		s.mu.Lock()
		other, busy := s.busy[chain]
		if !busy && !s.Has(chain) {
			s.busy[chain] = make(chan struct{})
			s.mu.Unlock()
			return true, nil
		}
		s.mu.Unlock()
		if !busy {
			return false, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

func (s *Store) release(chain digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.busy[chain])
	delete(s.busy, chain)
}

// unpackNew unpacks under a temporary name and renames when all is checked and
// on disk.
func (s *Store) unpackNew(ctx context.Context, chain []digest.Digest, diffID digest.Digest, blob io.Reader) (err error) {
	tmp, err := os.MkdirTemp(s.layers(), temporary)
	if err != nil {
		return err
	}
	var undo cleanup.Stack
	defer undo.Run(&err)
	undo.Add(func() error { return removeTree(tmp) })
	dir, err := os.Open(tmp)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := linux.Chmod(dir, 0o755); err != nil {
		return err
	}
	digester := diffID.Algorithm().Digester()
	implicit, err := s.unpack(ctx, dir, blob, digester.Hash())
	if err != nil {
		return err
	}
	if got := digester.Digest(); got != diffID {
		return fmt.Errorf("its content is corrupt, it has the digest %s: %w", got, errdefs.ErrDataLoss)
	}
	if err := s.inherit(dir, chain[:len(chain)-1], implicit); err != nil {
		return err
	}
	if err := linux.SyncFS(dir); err != nil {
		return err
	}
	name := s.layers(chain[len(chain)-1].Encoded())
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	undo.Release()
	return atomicfile.SyncDir(filepath.Dir(name))
}

// inherit gives the directories that the new layer only passes through the
// owner, mode and time that they have in the layers below: in a union the
// topmost layer's count. /tmp would lose its 1777 otherwise.
func (s *Store) inherit(dir *os.File, below []digest.Digest, implicit []string) error {
	if len(below) == 0 || len(implicit) == 0 {
		return nil
	}
	union, err := s.View(below)
	if err != nil {
		return err
	}
	lower, err := linux.MountOverlay(union)
	if err != nil {
		return err
	}
	defer func() { _ = lower.Close() }() // read only
	for _, path := range implicit {
		err := inheritOne(dir, lower, path)
		// New here, or something else below.
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
			continue
		}
		if err != nil {
			return fmt.Errorf("take over directory %q: %w", path, err)
		}
	}
	return nil
}

func inheritOne(dir, lower *os.File, path string) error {
	from, err := linux.OpenBeneath(lower, path, linux.OPath|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // O_PATH
	st, err := linux.StatAt(from, "")
	if err != nil {
		return err
	}
	to, err := linux.OpenBeneath(dir, path, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }() // nothing to flush: syncfs follows
	return errors.Join(
		linux.ChownAt(to, "", st.UID, st.GID),
		linux.Chmod(to, st.Mode),
		linux.SetMtimeAt(to, "", st.Mtime))
}
