package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"berth/content"
	"berth/internal/fault"
	"berth/layer"

	"github.com/containerd/errdefs"
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
)

// archive is an image archive spooled to disk: the input is read once, from
// front to back, and its index may come last. Nothing of it is a blob yet.
type archive struct {
	files map[string]*content.Spool
	links map[string]string
}

// readArchive spools a tar, compressed or not. The caller closes it.
func readArchive(ctx context.Context, store *content.Store, r io.Reader) (_ *archive, err error) {
	plain, _, err := layer.Decompress(r)
	if err != nil {
		return nil, fmt.Errorf("read image archive: %w", err)
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
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
			return nil, fault.Errorf(errdefs.ErrInvalidArgument, "not an image archive: %w", err)
		}
		if n == maxArchiveEntries {
			return nil, fault.Errorf(errdefs.ErrInvalidArgument, "image archive has more than %d entries", maxArchiveEntries)
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
		return fault.Errorf(errdefs.ErrInvalidArgument, "name is longer than %d bytes", maxArchiveName)
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
		// A few bytes may stand for a file as large as the disk. No tool
		// writes image archives with holes.
		for key := range hdr.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") {
				return fault.Errorf(errdefs.ErrInvalidArgument, "is a sparse file")
			}
		}
	default:
		return fault.Errorf(errdefs.ErrInvalidArgument, "is no file, directory or link")
	}
	spool, err := store.Spool(ctx, r, hdr.Size)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Errorf(errdefs.ErrInvalidArgument, "archive is truncated: %w", err)
	}
	if err != nil {
		return err
	}
	if first := a.files[name]; first != nil {
		// The same bytes again are only waste; others would be read by some.
		if first.Descriptor().Digest != spool.Descriptor().Digest {
			err = fault.Errorf(errdefs.ErrInvalidArgument, "is there twice, and differs")
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
		return nil, fault.Errorf(errdefs.ErrNotFound, "image archive has no %s", clip(name))
	}
	if size := f.Descriptor().Size; size > limit {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "image archive: %s has %d bytes, more than %d", clip(name), size, limit)
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
		return fault.Errorf(errdefs.ErrInvalidArgument, "image archive: %s: %w", name, err)
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
		return nil, fault.Errorf(errdefs.ErrNotFound, "image archive has no blob %s", desc.Digest)
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
	plain, kind, err := layer.Decompress(r)
	if err != nil {
		return "", err
	}
	switch kind {
	case layer.Gzip:
		return ocispec.MediaTypeImageLayerGzip, plain.Close()
	case layer.Zstd:
		return ocispec.MediaTypeImageLayerZstd, plain.Close()
	default:
		return ocispec.MediaTypeImageLayer, plain.Close()
	}
}
