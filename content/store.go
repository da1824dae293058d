package content

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"berth/internal/atomicfile"
	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ingestKeep is how long the bytes of an interrupted ingest stay for a later
// attempt to go on from.
const ingestKeep = 24 * time.Hour

// maxIndexSize bounds index.json: some 100,000 names.
const maxIndexSize = 64 << 20

// Store is an OCI image layout opened for reading and writing.
type Store struct {
	root string

	mu      sync.Mutex
	index   ocispec.Index                   // +checklocks:mu; what index.json says
	writers map[digest.Digest]chan struct{} // +checklocks:mu; closed when the writer is done
}

// Open opens the layout at root and creates what is missing. It removes what
// a killed process left in ingest/, except bytes that an ingest of the same
// digest can go on from. An index.json that does not parse is an error:
// guessing would let the next sweep delete every image.
func Open(root string) (*Store, error) {
	for _, d := range []string{root, filepath.Join(root, "blobs"), filepath.Join(root, "blobs", "sha256"), filepath.Join(root, "ingest")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("create content store: %w", err)
		}
	}
	s := &Store{root: root, writers: map[digest.Digest]chan struct{}{}}
	if err := s.openLayout(); err != nil {
		return nil, err
	}
	if err := s.cleanIngest(time.Now().Add(-ingestKeep)); err != nil {
		return nil, fmt.Errorf("clean %s: %w", filepath.Join(root, "ingest"), err)
	}
	return s, nil
}

func (s *Store) openLayout() error {
	path := filepath.Join(s.root, ocispec.ImageLayoutFile)
	var layout ocispec.ImageLayout
	switch err := readJSON(path, maxIndexSize, &layout); {
	case errors.Is(err, fs.ErrNotExist):
		layout.Version = ocispec.ImageLayoutVersion
		data, err := json.Marshal(layout)
		if err != nil {
			return err
		}
		if err := atomicfile.Write(path, data, 0o600); err != nil {
			return fmt.Errorf("create content store: %w", err)
		}
	case err != nil:
		return fmt.Errorf("open content store: %w", err)
	case layout.Version != ocispec.ImageLayoutVersion:
		return fault.Errorf(errdefs.ErrFailedPrecondition, "open content store: %s says version %q, this berth knows %s", path, layout.Version, ocispec.ImageLayoutVersion)
	}
	path = filepath.Join(s.root, ocispec.ImageIndexFile)
	if err := readJSON(path, maxIndexSize, &s.index); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open content store: %w", err)
	}
	s.index.Versioned = specs.Versioned{SchemaVersion: 2}
	s.index.MediaType = ocispec.MediaTypeImageIndex
	return nil
}

// cleanIngest removes spools and the resumable bytes last written before old.
func (s *Store) cleanIngest(old time.Time) error {
	dir := filepath.Join(s.root, "ingest")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), "sha256-") && info.ModTime().After(old) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Root is the directory the store was opened on.
func (s *Store) Root() string { return s.root }

func (s *Store) blobPath(d digest.Digest) string {
	return filepath.Join(s.root, "blobs", "sha256", d.Encoded())
}

// Check refuses a digest this store cannot hold: every digest that becomes a
// path passes here.
func Check(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fault.Errorf(errdefs.ErrInvalidArgument, "digest %q: %w", clip(string(d)), err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fault.Errorf(errdefs.ErrInvalidArgument, "digest %s: only sha256 is supported", d)
	}
	return nil
}

// clip shortens foreign text for a message.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

// Size returns the size of a finished blob, or ErrNotFound.
func (s *Store) Size(d digest.Digest) (int64, error) {
	if err := Check(d); err != nil {
		return 0, err
	}
	info, err := os.Stat(s.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fault.Errorf(errdefs.ErrNotFound, "blob %s", d)
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Has says whether the blob is there with the size the descriptor gives.
func (s *Store) Has(desc ocispec.Descriptor) bool {
	n, err := s.Size(desc.Digest)
	return err == nil && n == desc.Size
}

// Reader opens a finished blob. The bytes were verified when they were
// written; a caller that must know that they still are uses [Store.Verify] or
// [Store.ReadBlob]. ErrNotFound if there is none.
func (s *Store) Reader(d digest.Digest) (*os.File, error) {
	if err := Check(d); err != nil {
		return nil, err
	}
	f, err := os.Open(s.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Errorf(errdefs.ErrNotFound, "blob %s", d)
	}
	return f, err
}

// ReadBlob returns a whole blob of at most limit bytes and verifies size and
// digest. ErrInvalidArgument if the descriptor is larger than limit,
// ErrNotFound if there is none, a [*DigestError] if the bytes were damaged.
func (s *Store) ReadBlob(desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if desc.Size < 0 || desc.Size > limit {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "blob %s: size %d is not between 0 and %d bytes", desc.Digest, desc.Size, limit)
	}
	f, err := s.Reader(desc.Digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, desc.Size+1))
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", desc.Digest, err)
	}
	if got := digest.FromBytes(data); got != desc.Digest || int64(len(data)) != desc.Size {
		return nil, &DigestError{Want: desc.Digest, Got: got, WantSize: desc.Size, GotSize: int64(len(data))}
	}
	return data, nil
}

// WriteBlob adds a small blob that is at hand as a whole and returns its
// descriptor. Adding a blob that exists is no error.
func (s *Store) WriteBlob(ctx context.Context, mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	w, err := s.Ingest(ctx, desc)
	if errdefs.IsAlreadyExists(err) {
		return desc, nil
	}
	if err != nil {
		return desc, err
	}
	defer w.Close()
	if err := w.Reset(); err != nil {
		return desc, err
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		return desc, err
	}
	return desc, w.Commit()
}

// Verify reads the blob and compares size and digest: nil, ErrNotFound, or a
// [*DigestError] if the bytes on disk were damaged.
func (s *Store) Verify(ctx context.Context, desc ocispec.Descriptor) error {
	f, err := s.Reader(desc.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	h := digest.SHA256.Hash()
	n, err := copyContext(ctx, h, f)
	if err != nil {
		return fmt.Errorf("read blob %s: %w", desc.Digest, err)
	}
	if got := digest.NewDigest(digest.SHA256, h); got != desc.Digest || n != desc.Size {
		return &DigestError{Want: desc.Digest, Got: got, WantSize: desc.Size, GotSize: n}
	}
	return nil
}

// Remove deletes one blob whatever names it: for a blob that Verify found
// damaged, before it is fetched again. Removing what is not there is no error.
func (s *Store) Remove(d digest.Digest) error {
	if err := Check(d); err != nil {
		return err
	}
	if err := os.Remove(s.blobPath(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove blob: %w", err)
	}
	return nil
}

// DigestError says that bytes are not those a descriptor names: a damaged
// transfer, a damaged disk, or a sender that lies. It is an ErrDataLoss.
type DigestError struct {
	Want, Got         digest.Digest
	WantSize, GotSize int64
}

func (e *DigestError) Error() string {
	if e.WantSize != e.GotSize {
		return fmt.Sprintf("blob %s has the wrong size: expected %d bytes, got %d", e.Want, e.WantSize, e.GotSize)
	}
	return fmt.Sprintf("blob %s has the wrong digest: expected %s, got %s", e.Want, e.Want, e.Got)
}

// Unwrap makes errdefs.IsDataLoss true.
func (e *DigestError) Unwrap() error { return errdefs.ErrDataLoss }

// readJSON decodes a file of at most limit bytes.
func readJSON(path string, limit int64, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return err
	}
	if int64(len(data)) > limit {
		return fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// copyContext is io.Copy that stops when ctx does, between two chunks.
func copyContext(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	buf := make([]byte, 256<<10)
	var total int64
	for {
		if err := context.Cause(ctx); err != nil {
			return total, err
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return total, werr
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
