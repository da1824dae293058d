package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"

	"berth/internal/fault"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// maxDownloads is how many layers are fetched at a time, as Docker does.
const maxDownloads = 3

// install brings the layers of an image here with fetch, several at a time,
// and unpacks each as soon as it and those below it are there: layer n is
// unpacked while n+1 comes. The first error stops all.
func (s *Store) install(ctx context.Context, o opened, report *reporter, fetch func(context.Context, ocispec.Descriptor) error) error {
	for _, l := range o.doc.Layers {
		report.tell(Progress{Layer: l.Digest, Status: StatusWaiting})
	}
	group, ctx := errgroup.WithContext(ctx)
	here := make([]chan struct{}, len(o.doc.Layers))
	for i := range here {
		here[i] = make(chan struct{})
	}
	group.Go(func() error {
		downloads, ctx := errgroup.WithContext(ctx)
		downloads.SetLimit(maxDownloads)
		for i, l := range o.doc.Layers {
			downloads.Go(func() error {
				if err := context.Cause(ctx); err != nil {
					return err
				}
				if err := fetch(ctx, l); err != nil {
					return fmt.Errorf("layer %d of %d: %w", i+1, len(here), err)
				}
				close(here[i])
				return nil
			})
		}
		return downloads.Wait()
	})
	group.Go(func() error {
		for i, l := range o.doc.Layers {
			select {
			case <-here[i]:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := s.unpack(ctx, o, i, report); err != nil {
				return fmt.Errorf("layer %d of %d (%s): %w", i+1, len(here), l.Digest, err)
			}
		}
		return nil
	})
	return group.Wait()
}

// unpack unpacks layer i unless it is unpacked already.
func (s *Store) unpack(ctx context.Context, o opened, i int, report *reporter) error {
	desc, chain := o.doc.Layers[i], o.chain[:i+1]
	if s.layers.Has(chain[i]) {
		report.tell(Progress{Layer: desc.Digest, Status: StatusExists})
		return nil
	}
	f, err := s.content.Reader(desc.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	blob := &countedReader{r: f, count: report.counter(desc.Digest, StatusUnpacking, 0, desc.Size)}
	err = s.layers.Unpack(ctx, chain, o.config.RootFS.DiffIDs[i], blob)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Errorf(errdefs.ErrResourceExhausted, "%w", err)
	}
	if err != nil {
		return err
	}
	report.tell(Progress{Layer: desc.Digest, Status: StatusDone})
	return nil
}

type countedReader struct {
	r     io.Reader
	count func(int)
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.count(n)
	return n, err
}

// open reads and verifies the manifest and config of a recorded image.
func (s *Store) open(root ocispec.Descriptor) (opened, error) {
	o := opened{desc: root}
	data, err := s.content.ReadBlob(root, maxManifest)
	if err == nil {
		o.doc, err = parseDocument(data, root.MediaType)
	}
	if err == nil && !isManifest(root.MediaType) {
		err = fault.Errorf(errdefs.ErrInvalidArgument, "media type %q is not a manifest's", clip(root.MediaType))
	}
	if err == nil {
		data, err = s.content.ReadBlob(o.doc.Config, maxConfig)
	}
	if err == nil {
		o.config, err = parseConfig(data, len(o.doc.Layers))
	}
	if err != nil {
		return opened{}, damaged(root, err)
	}
	o.chain = chainIDs(o.config.RootFS.DiffIDs)
	return o, nil
}

// damaged names the image whose stored parts cannot be read.
func damaged(root ocispec.Descriptor, err error) error {
	name := root.Annotations[ocispec.AnnotationRefName]
	if name == "" {
		name = root.Digest.String()
	}
	return fault.Errorf(errdefs.ErrDataLoss, "image %s is damaged: %w: pull it again or remove it", name, err)
}

// sizeName is the annotation in index.json that keeps what an image's layers
// take unpacked, in bytes. It could be counted again from the layers, but
// that means to look at every file of every image.
const sizeName = "berth.size"

// size is what the layers take unpacked: as recorded, else counted.
func (s *Store) size(o opened) (int64, error) {
	if n, err := strconv.ParseInt(o.desc.Annotations[sizeName], 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	var total int64
	for _, c := range o.chain {
		n, err := s.layers.Size(c)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// root is the descriptor of an installed image for index.json.
func (s *Store) root(o opened) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: o.desc.MediaType, Digest: o.desc.Digest, Size: o.desc.Size}
	n, err := s.size(opened{chain: o.chain})
	if err != nil {
		return d, err
	}
	d.Annotations = map[string]string{sizeName: strconv.FormatInt(n, 10)}
	if o.config.Architecture != "" {
		p := o.config.Platform
		d.Platform = &p
	}
	return d, nil
}
