package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"time"

	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Save writes the images that refs name, with those names, as one tar that is
// both an OCI image layout and what docker load reads. The same images give
// the same bytes.
func (s *Store) Save(ctx context.Context, refs []string, w io.Writer) error {
	out := &save{store: s, tw: tar.NewWriter(w), written: map[digest.Digest]bool{}}
	out.index = ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	// A sweep must not take what is being written.
	pins := pinned{store: s}
	defer pins.release()
	for _, ref := range refs {
		if err := out.image(ctx, ref, &pins); err != nil {
			return fmt.Errorf("save %s: %w", ref, err)
		}
	}
	for _, doc := range []struct {
		name string
		v    any
	}{
		{ocispec.ImageIndexFile, out.index},
		{"manifest.json", out.docker},
		{ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}},
	} {
		data, err := json.Marshal(doc.v)
		if err != nil {
			return err
		}
		if err := out.file(ctx, doc.name, int64(len(data)), bytes.NewReader(data)); err != nil {
			return err
		}
	}
	return out.tw.Close()
}

// save is one run of Save.
type save struct {
	store   *Store
	tw      *tar.Writer
	written map[digest.Digest]bool
	index   ocispec.Index
	docker  []dockerArchiveImage
}

func (s *save) image(ctx context.Context, ref string, pins *pinned) error {
	roots, name, err := s.store.lookup(ref)
	if err != nil {
		return err
	}
	pins.pin(roots[0].Digest)
	o, err := s.store.open(roots[0])
	if err != nil {
		return err
	}
	all := append([]ocispec.Descriptor{roots[0], o.doc.Config}, o.doc.Layers...)
	pins.pin(descriptorDigests(all...)...)
	entry := dockerArchiveImage{Config: blobName(o.doc.Config.Digest), Layers: make([]string, len(o.doc.Layers))}
	for i, l := range o.doc.Layers {
		entry.Layers[i] = blobName(l.Digest)
	}
	root := roots[0]
	root.Annotations = nil
	if name != (Reference{}) && name.Digest() == "" {
		entry.RepoTags = []string{name.Familiar()}
		root.Annotations = map[string]string{containerdName: name.String(), ocispec.AnnotationRefName: name.Tag()}
	}
	s.docker = append(s.docker, entry)
	s.index.Manifests = append(s.index.Manifests, root)
	for _, d := range all {
		if err := s.blob(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func blobName(d digest.Digest) string {
	return path.Join("blobs", d.Algorithm().String(), d.Encoded())
}

// blob writes a blob once. It verifies while it writes: a damaged blob ends
// the archive with an error rather than travel on.
func (s *save) blob(ctx context.Context, desc ocispec.Descriptor) error {
	if s.written[desc.Digest] {
		return nil
	}
	s.written[desc.Digest] = true
	f, err := s.store.content.Reader(desc.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	h := digest.SHA256.Hash()
	if err := s.file(ctx, blobName(desc.Digest), desc.Size, io.TeeReader(f, h)); err != nil {
		return err
	}
	if got := digest.NewDigest(digest.SHA256, h); got != desc.Digest {
		return fault.Errorf(errdefs.ErrDataLoss, "blob %s is damaged on disk (it reads as %s): pull the image again", desc.Digest, got)
	}
	return nil
}

func (s *save) file(ctx context.Context, name string, size int64, r io.Reader) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	hdr := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
	if err := s.tw.WriteHeader(hdr); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if _, err := io.CopyN(s.tw, r, size); err != nil {
		return fmt.Errorf("write archive: %s: %w", name, err)
	}
	return nil
}
