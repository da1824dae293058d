package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Spool holds bytes on disk whose digest was not known before they were read,
// such as a file of an archive. It becomes a blob by Commit or goes away by
// Discard; one of the two must be called.
type Spool struct {
	store *Store
	path  string
	desc  ocispec.Descriptor
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

// Reader opens the spooled bytes, before Commit or Discard.
func (p *Spool) Reader() (*os.File, error) { return os.Open(p.path) }

// Commit makes the bytes a blob, durable when it returns. A blob that exists
// with the same size is left as it is.
func (p *Spool) Commit() error {
	if p.store.Has(p.desc) {
		return p.Discard()
	}
	f, err := os.OpenFile(p.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(p.store.name(f, p.path, p.desc.Digest), f.Close())
}

// Discard drops the bytes. After Commit it does nothing.
func (p *Spool) Discard() error {
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
