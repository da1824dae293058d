package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Spool holds bytes on disk whose digest was not known before they were read,
// such as a file of an archive. It becomes a blob by Commit or goes away by
// Discard; one of the two must be called. It is safe for concurrent use.
type Spool struct {
	store *Store
	path  string
	desc  ocispec.Descriptor

	mu        sync.Mutex
	committed bool // +checklocks:mu; the bytes are the blob's now
}

// Spool reads r to its end into the store's file system. size is what the
// sender says will come and is checked against the free space first; more
// than that is an error.
func (s *Store) Spool(ctx context.Context, r io.Reader, size int64) (_ *Spool, err error) {
	if err := s.checkSpace(size); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Join(s.root, "ingest"), "spool-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	h := digest.SHA256.Hash()
	n, err := copyContext(ctx, io.MultiWriter(f, h), io.LimitReader(r, size+1))
	if err != nil {
		return nil, s.diskFull(err)
	}
	if n != size {
		return nil, fmt.Errorf("expected %d bytes, got %d: %w", size, n, io.ErrUnexpectedEOF)
	}
	return &Spool{store: s, path: f.Name(), desc: ocispec.Descriptor{Digest: digest.NewDigest(digest.SHA256, h), Size: n}}, nil
}

// Descriptor gives digest and size; the media type is the caller's to know.
func (p *Spool) Descriptor() ocispec.Descriptor { return p.desc }

// Reader opens the bytes, spooled or committed; not after Discard.
func (p *Spool) Reader() (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.committed {
		return p.store.Reader(p.desc.Digest)
	}
	return os.Open(p.path)
}

// Commit makes the bytes a blob, durable when it returns. A blob that exists
// is replaced by these bytes, which were verified just now. Committing twice
// is no error.
func (p *Spool) Commit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.committed {
		return nil
	}
	f, err := os.OpenFile(p.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = errors.Join(p.store.name(f, p.path, p.desc.Digest), f.Close())
	p.committed = err == nil
	return err
}

// Discard drops the bytes. After Commit it does nothing.
func (p *Spool) Discard() error {
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
