package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"berth/internal/linux"
	"berth/snapshot"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

const (
	layersDir     = "layers"
	containersDir = "containers"
	temporary     = ".tmp-"
)

// Store keeps layers under a data root. It is safe for concurrent use.
type Store struct {
	root   string // absolute
	unpack snapshot.Unpack
	// userXattrs: in a user namespace, see linux.Overlay.
	userXattrs bool

	mu sync.Mutex
	// busy has the layers being unpacked; the channel is closed at the end.
	busy  map[digest.Digest]chan struct{} // +checklocks:mu
	sizes map[digest.Digest]int64         // +checklocks:mu; of layers already counted
}

var _ snapshot.Snapshotter = (*Store)(nil)

// Open returns the store under dataRoot, which is made if need be (0700), and
// deletes what an earlier process did not finish. unpack reads layer blobs.
// Nobody else may have the store open: berthd holds a lock on its data root.
func Open(dataRoot string, unpack snapshot.Unpack) (*Store, error) {
	root, err := filepath.Abs(dataRoot)
	if err != nil {
		return nil, err
	}
	s := &Store{root: root, unpack: unpack, userXattrs: linux.InUserNamespace(), busy: map[digest.Digest]chan struct{}{}, sizes: map[digest.Digest]int64{}}
	for _, dir := range []string{s.layers("empty"), filepath.Join(root, containersDir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open layers: %w", err)
		}
	}
	for _, dir := range []string{s.layers("empty", "0"), s.layers("empty", "1")} {
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.Chmod(dir, 0o755) // it may become a container's "/": no umask
		}
		if err != nil {
			return nil, fmt.Errorf("open layers: %w", err)
		}
	}
	left, err := filepath.Glob(s.layers(temporary + "*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range left {
		if err := removeTree(dir); err != nil {
			return nil, fmt.Errorf("remove unfinished layer: %w", err)
		}
	}
	return s, nil
}

// layers returns a path below the directory of all layers.
func (s *Store) layers(parts ...string) string {
	return filepath.Join(append([]string{s.root, layersDir}, parts...)...)
}

// Has implements [snapshot.Layers].
func (s *Store) Has(chain digest.Digest) bool {
	if checkDigest(chain) != nil {
		return false
	}
	_, err := os.Lstat(s.layers(chain.Encoded()))
	return err == nil
}

// List implements [snapshot.Layers].
func (s *Store) List() ([]digest.Digest, error) {
	entries, err := os.ReadDir(s.layers())
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	var list []digest.Digest
	for _, e := range entries {
		d := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if d.Validate() == nil {
			list = append(list, d)
		}
	}
	return list, nil
}

// Size implements [snapshot.Layers].
func (s *Store) Size(chain digest.Digest) (int64, error) {
	if err := checkDigest(chain); err != nil {
		return 0, err
	}
	s.mu.Lock()
	size, known := s.sizes[chain]
	s.mu.Unlock()
	if known {
		return size, nil
	}
	size, err := diskUsage(s.layers(chain.Encoded()))
	if err != nil {
		return 0, fmt.Errorf("size of layer %s: %w", chain, err)
	}
	s.mu.Lock()
	s.sizes[chain] = size
	s.mu.Unlock()
	return size, nil
}

// Remove implements [snapshot.Layers]. The layer loses its name first: half a
// layer is never seen under it.
func (s *Store) Remove(_ context.Context, chain digest.Digest) error {
	if err := checkDigest(chain); err != nil {
		return err
	}
	if !s.Has(chain) {
		return nil
	}
	s.mu.Lock()
	delete(s.sizes, chain)
	s.mu.Unlock()
	tmp, err := os.MkdirTemp(s.layers(), temporary)
	if err == nil {
		err = os.Rename(s.layers(chain.Encoded()), filepath.Join(tmp, "layer"))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // another caller was first
		}
		err = errors.Join(err, removeTree(tmp))
	}
	if err != nil {
		return fmt.Errorf("remove layer %s: %w", chain, err)
	}
	return nil
}

// checkDigest lets only sha256 digests become part of a path: chain ids are.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("%.80q is not a sha256 digest: %w", string(d), errdefs.ErrInvalidArgument)
	}
	return nil
}

// checkContainer lets only a plain name become part of a path.
func checkContainer(id string) error {
	ok := id != "" && len(id) <= 128 && id[0] != '.'
	for _, c := range []byte(id) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-", c) >= 0)
	}
	if !ok {
		return fmt.Errorf("%.80q is not a container id: %w", id, errdefs.ErrInvalidArgument)
	}
	return nil
}

func removeTree(path string) error {
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }() // read only
	return linux.RemoveTreeAt(parent, filepath.Base(path))
}

// maxWalk bounds the levels that diskUsage descends; it holds a file for each.
const maxWalk = 512

// diskUsage sums what the files below path take on disk, a file with several
// names once. A container may change the tree meanwhile: nothing is followed,
// and what vanishes is not counted. What lies deeper than maxWalk is not either.
func diskUsage(path string) (int64, error) {
	root, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }() // read only
	return usageBelow(root, map[linux.FileID]struct{}{}, 0)
}

func usageBelow(dir *os.File, seen map[linux.FileID]struct{}, depth int) (total int64, err error) {
	for {
		names, err := dir.Readdirnames(1024)
		if len(names) == 0 {
			return total, nil //nolint:nilerr // io.EOF, or the directory is gone
		}
		for _, name := range names {
			st, err := linux.StatAt(dir, name)
			if err != nil {
				continue
			}
			if st.Links > 1 && !st.IsDir() {
				if _, counted := seen[st.ID]; counted {
					continue
				}
				seen[st.ID] = struct{}{}
			}
			total += st.Disk
			if !st.IsDir() || depth == maxWalk {
				continue
			}
			sub, err := linux.OpenAt(dir, name, syscall.O_RDONLY|syscall.O_DIRECTORY)
			if err != nil {
				continue
			}
			below, err := usageBelow(sub, seen, depth+1)
			if err = errors.Join(err, sub.Close()); err != nil {
				return 0, err
			}
			total += below
		}
		if err != nil {
			return total, nil //nolint:nilerr // as above
		}
	}
}
