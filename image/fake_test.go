package image

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"berth/snapshot"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
)

// fakeLayers records what was unpacked: the digest of each tar.
type fakeLayers struct {
	mu       sync.Mutex
	unpacked map[digest.Digest]int64 // +checklocks:mu
	calls    int                     // +checklocks:mu
}

var _ snapshot.Layers = (*fakeLayers)(nil)

func newFakeLayers() *fakeLayers { return &fakeLayers{unpacked: map[digest.Digest]int64{}} }

func (f *fakeLayers) Has(c digest.Digest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.unpacked[c]
	return ok
}

func (f *fakeLayers) Unpack(_ context.Context, chain []digest.Digest, diffID digest.Digest, blob io.Reader) error {
	for _, below := range chain[:len(chain)-1] {
		if !f.Has(below) {
			return fmt.Errorf("layer %s unpacked before %s", chain[len(chain)-1], below)
		}
	}
	data, err := io.ReadAll(blob)
	if err != nil {
		return err
	}
	if len(data) > 2 && data[0] == 0x1f && data[1] == 0x8b {
		zr, err := gzip.NewReader(newReader(data))
		if err != nil {
			return err
		}
		if data, err = io.ReadAll(zr); err != nil {
			return err
		}
	}
	if got := digest.FromBytes(data); got != diffID {
		return fmt.Errorf("diff id: expected %s, got %s: %w", diffID, got, errdefs.ErrDataLoss)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.unpacked[chain[len(chain)-1]] = int64(len(data))
	return nil
}

func (f *fakeLayers) Size(c digest.Digest) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unpacked[c], nil
}

func (f *fakeLayers) Remove(_ context.Context, c digest.Digest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.unpacked, c)
	return nil
}

func (f *fakeLayers) List() ([]digest.Digest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.unpacked)), nil
}
