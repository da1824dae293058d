package image

import (
	"context"
	"slices"
	"sync"

	"berth/content"
	"berth/registry"
	"berth/snapshot"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image that is here and can run. It is a copy: changing it
// changes nothing.
type Image struct {
	// ID is the digest of the config.
	ID digest.Digest
	// Names are the names with tags in the short form Docker shows
	// ("debian:12", "localhost:5000/debian:12"), sorted.
	Names []string
	// Digests are the digest references in the same form
	// ("debian@sha256:..."), sorted.
	Digests []string
	// Config is what the image says about itself. Its labels are data only.
	Config ocispec.Image
	// Manifest is the descriptor of the platform's manifest.
	Manifest ocispec.Descriptor
	// Layers are the descriptors of the layer blobs, bottom first.
	Layers []ocispec.Descriptor
	// Chain holds the chain ids of the layers, bottom first: the names under
	// which they are unpacked.
	Chain []digest.Digest
	// Size is what the layers take unpacked on disk, in bytes. Images share
	// layers: the sum of sizes is more than they take together.
	Size int64
}

// Store holds the images of this machine. It is safe for concurrent use.
type Store struct {
	content  *content.Store
	layers   snapshot.Layers
	registry *registry.Client

	mu   sync.Mutex
	pins map[digest.Digest]int // +checklocks:mu; blobs and chain ids in use by work under way

	// ids remembers the image id of each manifest seen: digest to digest. It
	// never grows stale, as neither changes.
	ids sync.Map
}

// New returns the images of a content store and a layer storage.
func New(c *content.Store, l snapshot.Layers, r *registry.Client) *Store {
	return &Store{content: c, layers: l, registry: r, pins: map[digest.Digest]int{}}
}

// pinned is a set of digests that a sweep leaves alone until release.
type pinned struct {
	store *Store
	all   []digest.Digest
}

// pin protects digests from now on; look what exists only afterwards.
func (p *pinned) pin(digests ...digest.Digest) {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	for _, d := range digests {
		p.store.pins[d]++
	}
	p.all = append(p.all, digests...)
}

func (p *pinned) release() {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	for _, d := range p.all {
		if p.store.pins[d]--; p.store.pins[d] == 0 {
			delete(p.store.pins, d)
		}
	}
	p.all = nil
}

func descriptorDigests(descs ...ocispec.Descriptor) []digest.Digest {
	out := make([]digest.Digest, 0, len(descs))
	for _, d := range descs {
		out = append(out, d.Digest)
	}
	return out
}

// sweepBlobs deletes the blobs that neither an image nor work under way needs.
func (s *Store) sweepBlobs() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.content.Sweep(func(d digest.Digest) bool { return s.pins[d] > 0 })
	return err
}

// Sweep deletes the blobs and unpacked layers that no image needs. inUse
// protects what else is needed, by chain id: layers of containers whose image
// was removed by force. It returns the bytes freed in the content store.
func (s *Store) Sweep(ctx context.Context, inUse func(digest.Digest) bool) (int64, error) {
	if inUse == nil {
		inUse = func(digest.Digest) bool { return false }
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	needed := map[digest.Digest]bool{}
	for _, root := range s.content.Roots() {
		m, err := s.open(root)
		if err != nil {
			return 0, err
		}
		for _, c := range m.chain {
			needed[c] = true
		}
	}
	unpacked, err := s.layers.List()
	if err != nil {
		return 0, err
	}
	unpacked = slices.DeleteFunc(unpacked, func(c digest.Digest) bool {
		return needed[c] || s.pins[c] > 0 || inUse(c)
	})
	for _, c := range unpacked {
		if err := s.layers.Remove(ctx, c); err != nil {
			return 0, err
		}
	}
	return s.content.Sweep(func(d digest.Digest) bool { return s.pins[d] > 0 })
}
