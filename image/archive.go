package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"berth/content"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxArchiveEntries bounds the files of an archive: docker save writes
	// three a layer.
	maxArchiveEntries = 10_000
	// maxArchiveName bounds a path in an archive (PATH_MAX).
	maxArchiveName = 4096
	// maxArchiveLinks bounds the links followed for one path.
	maxArchiveLinks = 8
	// maxWindow bounds the memory a zstd archive may ask for.
	maxWindow = 128 << 20
)

// archive is an image archive spooled to disk: the input is read once, from
// front to back, and its index may come last. Nothing of it is a blob yet.
type archive struct {
	files map[string]*content.Spool
	links map[string]string
}

// readArchive spools a tar, compressed or not. The caller closes it.
func readArchive(ctx context.Context, store *content.Store, r io.Reader) (_ *archive, err error) {
	plain, closeReader, err := decompress(r)
	if err != nil {
		return nil, err
	}
	defer closeReader()
	a := &archive{files: map[string]*content.Spool{}, links: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	tr := tar.NewReader(plain)
	for n := 0; ; n++ {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("not an image archive: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		if n == maxArchiveEntries {
			return nil, fmt.Errorf("image archive has more than %d entries: %w", maxArchiveEntries, errdefs.ErrInvalidArgument)
		}
		if err := a.add(ctx, store, hdr, tr); err != nil {
			return nil, fmt.Errorf("image archive: %q: %w", clip(hdr.Name), err)
		}
	}
	return a, nil
}

// add keeps one entry. Names are keys of a map, never paths on disk.
func (a *archive) add(ctx context.Context, store *content.Store, hdr *tar.Header, r io.Reader) error {
	if len(hdr.Name) > maxArchiveName || len(hdr.Linkname) > maxArchiveName {
		return fmt.Errorf("name is longer than %d bytes: %w", maxArchiveName, errdefs.ErrInvalidArgument)
	}
	name := path.Clean("/" + hdr.Name)
	switch hdr.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeSymlink:
		a.links[name] = path.Join(path.Dir(name), hdr.Linkname)
		return nil
	case tar.TypeLink:
		a.links[name] = path.Clean("/" + hdr.Linkname)
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("is no file, directory or link: %w", errdefs.ErrInvalidArgument)
	}
	spool, err := store.Spool(ctx, r, hdr.Size)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("archive is truncated: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return err
	}
	if first := a.files[name]; first != nil {
		// The same bytes again are only waste; others would be read by some.
		if first.Descriptor().Digest != spool.Descriptor().Digest {
			err = fmt.Errorf("is there twice, and differs: %w", errdefs.ErrInvalidArgument)
		}
		return errors.Join(err, spool.Discard())
	}
	a.files[name] = spool
	return nil
}

// close drops what was not committed.
func (a *archive) close() error {
	var errs []error
	for _, f := range a.files {
		errs = append(errs, f.Discard())
	}
	return errors.Join(errs...)
}

// file finds an entry by path, through links as docker save writes them for a
// layer that several images share. Nil if there is none.
func (a *archive) file(name string) *content.Spool {
	name = path.Clean("/" + name)
	for range maxArchiveLinks {
		if f := a.files[name]; f != nil {
			return f
		}
		target, ok := a.links[name]
		if !ok {
			return nil
		}
		name = target
	}
	return nil
}

// read returns the content of a small entry, ErrNotFound if there is none.
func (a *archive) read(name string, limit int64) ([]byte, error) {
	f := a.file(name)
	if f == nil {
		return nil, fmt.Errorf("image archive has no %s: %w", clip(name), errdefs.ErrNotFound)
	}
	if size := f.Descriptor().Size; size > limit {
		return nil, fmt.Errorf("image archive: %s has %d bytes, more than %d: %w", clip(name), size, limit, errdefs.ErrInvalidArgument)
	}
	r, err := f.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// json reads a small JSON entry into v.
func (a *archive) json(name string, v any) error {
	data, err := a.read(name, maxManifest)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("image archive: %s: %w: %w", name, err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// blob finds a blob of an OCI layout and checks that the file at its path is
// what its name says.
func (a *archive) blob(desc ocispec.Descriptor) (*content.Spool, error) {
	if err := checkBlob(desc); err != nil {
		return nil, err
	}
	f := a.file(path.Join("blobs", desc.Digest.Algorithm().String(), desc.Digest.Encoded()))
	if f == nil {
		return nil, fmt.Errorf("image archive has no blob %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	if got := f.Descriptor(); got.Digest != desc.Digest || got.Size != desc.Size {
		return nil, fmt.Errorf("image archive: %w", &content.DigestError{Want: desc.Digest, Got: got.Digest, WantSize: desc.Size, GotSize: got.Size})
	}
	return f, nil
}

// layerType tells how a layer in an archive without media types is compressed.
func layerType(f *content.Spool) (string, error) {
	r, err := f.Reader()
	if err != nil {
		return "", err
	}
	defer r.Close()
	head := make([]byte, 4)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	switch compression(head[:n]) {
	case compressedGzip:
		return ocispec.MediaTypeImageLayerGzip, nil
	case compressedZstd:
		return ocispec.MediaTypeImageLayerZstd, nil
	}
	return ocispec.MediaTypeImageLayer, nil
}

type compressed int

const (
	compressedNot compressed = iota
	compressedGzip
	compressedZstd
	compressedOther // known, but not supported
)

// compression looks at the first bytes of a stream (RFC 1952, RFC 8878; bzip2
// and xz are only told apart to say so).
func compression(head []byte) compressed {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return compressedGzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return compressedZstd
	case bytes.HasPrefix(head, []byte("BZh")), bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X'}):
		return compressedOther
	}
	return compressedNot
}

// decompress returns the plain bytes of r and what ends the reading.
func decompress(r io.Reader) (io.Reader, func(), error) {
	br := bufio.NewReaderSize(r, 256<<10)
	head, err := br.Peek(4)
	if err != nil && len(head) == 0 {
		return nil, nil, fmt.Errorf("read image archive: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	switch compression(head) {
	case compressedGzip:
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, nil, fmt.Errorf("read image archive: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		return zr, func() { _ = zr.Close() }, nil // a reader: nothing to lose
	case compressedZstd:
		zr, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("read image archive: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		return zr, zr.Close, nil
	case compressedOther:
		return nil, nil, fmt.Errorf("image archive is compressed with bzip2 or xz: give it as a plain, gzip or zstd tar: %w", errdefs.ErrInvalidArgument)
	}
	return br, func() {}, nil
}
