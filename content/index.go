package content

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"berth/internal/atomicfile"
	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxManifestSize bounds what a sweep reads of one manifest: what a
	// registry may serve (OCI distribution spec: 4 MiB).
	maxManifestSize = 4 << 20
	// maxDepth bounds indexes in indexes.
	maxDepth = 8
)

// Roots returns the descriptors in index.json. Each is a name, by the
// annotation org.opencontainers.image.ref.name, or keeps an image without one.
func (s *Store) Roots() []ocispec.Descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.index.Manifests)
}

// Update replaces the descriptors in index.json by what f makes of them, all
// or nothing, durable when it returns. Blobs that f names must be committed.
// f runs with the store's lock held: it must not call the store. Maps in the
// descriptors are shared with readers: f replaces, never changes them.
func (s *Store) Update(f func([]ocispec.Descriptor) ([]ocispec.Descriptor, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	manifests, err := f(slices.Clone(s.index.Manifests))
	if err != nil {
		return err
	}
	next := s.index
	next.Manifests = manifests
	if next.Manifests == nil {
		next.Manifests = []ocispec.Descriptor{}
	}
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if len(data) > maxIndexSize {
		return fault.Errorf(errdefs.ErrResourceExhausted, "index.json would be larger than %d bytes: remove some images", maxIndexSize)
	}
	if err := atomicfile.Write(filepath.Join(s.root, ocispec.ImageIndexFile), data, 0o600); err != nil {
		return fmt.Errorf("write index.json: %w", s.diskFull(err))
	}
	s.index = next
	return nil
}

// Sweep deletes every finished blob that index.json does not reach and that
// keep does not name (keep protects blobs of a pull that has not written its
// name yet). It returns the number of bytes freed. A damaged manifest stops
// it before anything is deleted: what that manifest reaches is not known.
func (s *Store) Sweep(keep func(digest.Digest) bool) (freed int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reached := map[digest.Digest]bool{}
	parsed := map[digest.Digest]bool{}
	for _, d := range s.index.Manifests {
		if err := s.mark(d, reached, parsed, 0); err != nil {
			return 0, fmt.Errorf("sweep content: %w", err)
		}
	}
	dir := filepath.Join(s.root, "blobs", "sha256")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		d := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if reached[d] || d.Validate() == nil && keep(d) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return freed, err
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return freed, fmt.Errorf("sweep content: %w", err)
		}
		freed += info.Size()
	}
	return freed, nil
}

// mark adds what desc reaches. A blob that is not here reaches nothing: an
// index names manifests of platforms that were never pulled.
// What was read is kept apart from what is reached, so that a manifest another
// image calls its layer is still read when it is named as a manifest.
func (s *Store) mark(desc ocispec.Descriptor, reached, parsed map[digest.Digest]bool, depth int) error {
	reached[desc.Digest] = true
	switch desc.MediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json":
	default:
		return nil
	}
	if parsed[desc.Digest] {
		return nil
	}
	parsed[desc.Digest] = true
	if depth > maxDepth {
		return fmt.Errorf("index %s is nested more than %d deep", desc.Digest, maxDepth)
	}
	data, err := s.ReadBlob(desc, maxManifestSize)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; remove or pull again the image that uses it", err)
	}
	var m struct {
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	children := slices.Concat(m.Layers, m.Manifests)
	if m.Config != nil {
		children = append(children, *m.Config)
	}
	for _, c := range children {
		if err := s.mark(c, reached, parsed, depth+1); err != nil {
			return err
		}
	}
	return nil
}
