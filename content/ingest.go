package content

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"berth/internal/atomicfile"
	"berth/internal/fault"
	"berth/internal/linux"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Ingest is the one writer of a blob that is not finished. It is not safe for
// concurrent use.
type Ingest struct {
	store  *Store
	desc   ocispec.Descriptor
	path   string
	file   *os.File
	hash   hash.Hash
	offset int64
	done   chan struct{}
}

// Ingest opens the writer of desc.Digest. While another writer of the same
// digest is open it waits. Bytes an earlier writer left are taken over
// (Offset says how many). ErrAlreadyExists if the blob is finished,
// ErrResourceExhausted if the file system has too little space for it.
func (s *Store) Ingest(ctx context.Context, desc ocispec.Descriptor) (*Ingest, error) {
	if err := Check(desc.Digest); err != nil {
		return nil, err
	}
	if desc.Size < 0 {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "blob %s: size %d is negative", desc.Digest, desc.Size)
	}
	done, err := s.acquire(ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	w := &Ingest{store: s, desc: desc, done: done, path: filepath.Join(s.root, "ingest", "sha256-"+desc.Digest.Encoded())}
	if s.Has(desc) {
		w.release()
		return nil, fault.Errorf(errdefs.ErrAlreadyExists, "blob %s", desc.Digest)
	}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// acquire waits until no other writer of d is open and becomes the writer.
func (s *Store) acquire(ctx context.Context, d digest.Digest) (chan struct{}, error) {
	for {
		s.mu.Lock()
		other, busy := s.writers[d]
		if !busy {
			done := make(chan struct{})
			s.writers[d] = done
			s.mu.Unlock()
			return done, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (w *Ingest) release() {
	w.store.mu.Lock()
	delete(w.store.writers, w.desc.Digest)
	w.store.mu.Unlock()
	close(w.done)
}

// open opens the file and hashes what an earlier writer left in it.
func (w *Ingest) open(ctx context.Context) error {
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("ingest blob %s: %w", w.desc.Digest, err)
	}
	w.file = f
	w.hash = digest.SHA256.Hash()
	if info, err := f.Stat(); err == nil && info.Size() > w.desc.Size {
		return w.Reset()
	}
	w.offset, err = copyContext(ctx, w.hash, f)
	if err == nil {
		err = w.store.checkSpace(w.desc.Size - w.offset)
	}
	if err != nil {
		return fmt.Errorf("ingest blob %s: %w", w.desc.Digest, err)
	}
	return nil
}

// checkSpace refuses what cannot fit before the bytes are moved.
func (s *Store) checkSpace(need int64) error {
	free, err := linux.FreeBytes(s.root)
	if err != nil {
		return err
	}
	if need > free {
		return s.diskFull(fmt.Errorf("%d bytes needed, %d free: %w", need, free, syscall.ENOSPC))
	}
	return nil
}

// diskFull adds the class and the remedy to an error of a full disk.
func (s *Store) diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Errorf(errdefs.ErrResourceExhausted, "the disk of %s is full: free some space or remove images: %w", s.root, err)
	}
	return err
}

// Offset is the number of bytes the blob has so far: where to go on reading.
func (w *Ingest) Offset() int64 { return w.offset }

// Write appends. More bytes than the descriptor's size are an error, so a
// sender cannot fill the disk.
func (w *Ingest) Write(p []byte) (int, error) {
	if int64(len(p)) > w.desc.Size-w.offset {
		return 0, &DigestError{Want: w.desc.Digest, WantSize: w.desc.Size, GotSize: w.offset + int64(len(p))}
	}
	n, err := w.file.Write(p)
	w.hash.Write(p[:n]) // never fails (hash.Hash)
	w.offset += int64(n)
	if err != nil {
		return n, fmt.Errorf("write blob %s: %w", w.desc.Digest, w.store.diskFull(err))
	}
	return n, nil
}

// Reset drops all bytes: the next Write is the blob's first.
func (w *Ingest) Reset() error {
	if err := w.file.Truncate(0); err != nil {
		return err
	}
	if _, err := w.file.Seek(0, 0); err != nil {
		return err
	}
	w.hash.Reset()
	w.offset = 0
	return nil
}

// Commit verifies the bytes, makes them durable and gives the blob its name.
// Wrong bytes are dropped and give a [*DigestError]; too few of them are kept
// for another attempt when the file is closed.
func (w *Ingest) Commit() error {
	if w.offset != w.desc.Size {
		return &DigestError{Want: w.desc.Digest, WantSize: w.desc.Size, GotSize: w.offset}
	}
	if got := digest.NewDigest(digest.SHA256, w.hash); got != w.desc.Digest {
		err := &DigestError{Want: w.desc.Digest, Got: got, WantSize: w.desc.Size, GotSize: w.offset}
		return errors.Join(err, w.Reset())
	}
	return w.store.name(w.file, w.path, w.desc.Digest)
}

// name makes the finished file durable under its digest's name.
func (s *Store) name(f *os.File, path string, d digest.Digest) error {
	err := f.Chmod(0o400)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("commit blob %s: %w", d, s.diskFull(err))
	}
	to := s.blobPath(d)
	if err := os.Rename(path, to); err != nil {
		return fmt.Errorf("commit blob %s: %w", d, err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(to)); err != nil {
		return fmt.Errorf("commit blob %s: %w", d, err)
	}
	return nil
}

// Close ends the writer and lets the next one in. Bytes that were not
// committed stay for a later Ingest of the same digest.
func (w *Ingest) Close() error {
	if w.done == nil {
		return nil
	}
	var err error
	if w.file != nil {
		err = w.file.Close()
	}
	if w.offset == 0 {
		if e := os.Remove(w.path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	w.release()
	w.done = nil
	return err
}
