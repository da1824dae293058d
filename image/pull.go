package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"berth/content"
	"berth/internal/fault"
	"berth/registry"
	"berth/registry/credential"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// PullOptions say what Pull takes and how. The zero value pulls for this
// machine with the credentials the registry client finds itself.
type PullOptions struct {
	// Platform is os/arch[/variant]; empty is this machine.
	Platform string
	// Auth is used for the reference's registry; nil: what berthd's own
	// configuration says.
	Auth *credential.Credential
	// Progress is called for every change of a layer, from one goroutine at a
	// time. It must not block. Nil: nobody listens.
	Progress func(Progress)
}

// Pull fetches an image and unpacks it. What is here already is verified, not
// fetched: a damaged blob is fetched again. Errors: ErrInvalidArgument for a
// bad reference or image, ErrNotFound, ErrUnauthenticated,
// ErrPermissionDenied, ErrUnavailable (registry), ErrDataLoss (wrong digest),
// ErrResourceExhausted (disk full). After an error no name has changed.
func (s *Store) Pull(ctx context.Context, ref Reference, opts PullOptions) (Image, error) {
	if ref.Embedded() {
		return Image{}, fault.Errorf(errdefs.ErrInvalidArgument, "image %q is part of berth: there is nothing to pull", ref.Familiar())
	}
	want, err := parsePlatform(opts.Platform)
	if err != nil {
		return Image{}, err
	}
	repo, err := s.registry.Open(ctx, ref.Repository(), opts.Auth)
	if err != nil {
		return Image{}, err
	}
	defer repo.Close()
	p := &pull{store: s, repo: repo, pins: pinned{store: s}, report: &reporter{f: opts.Progress}}
	defer p.pins.release()
	img, err := p.run(ctx, ref, want)
	if errdefs.IsResourceExhausted(err) {
		// What came is of no use until there is room, and takes the room. Layers
		// stay: which of them containers use is not known here.
		p.pins.release()
		_ = s.sweepBlobs() // the full disk is what the user must hear of
	}
	if err != nil {
		return Image{}, fmt.Errorf("pull %s: %w", ref.Familiar(), err)
	}
	return img, nil
}

// pull is one run of Pull.
type pull struct {
	store  *Store
	repo   *registry.Repository
	pins   pinned
	report *reporter
}

func (p *pull) run(ctx context.Context, ref Reference, want platform) (Image, error) {
	served, err := p.repo.Resolve(ctx, ref.object())
	if err != nil {
		return Image{}, err
	}
	found, err := p.find(ctx, served, want, 0)
	if err != nil {
		return Image{}, err
	}
	if err := p.config(ctx, &found); err != nil {
		return Image{}, err
	}
	if err := want.check(found.config); err != nil {
		return Image{}, err
	}
	p.pins.pin(found.chain...)
	p.pins.pin(descriptorDigests(found.doc.Layers...)...)
	if err := p.store.install(ctx, found, p.report, p.layer); err != nil {
		return Image{}, err
	}
	names := []Reference{ref}
	if ref.Digest() == "" {
		byDigest, err := ref.withDigest(served.Digest)
		if err != nil {
			return Image{}, err
		}
		names = append(names, byDigest)
	}
	root, err := p.store.root(found)
	if err != nil {
		return Image{}, err
	}
	if err := p.store.record(root, names); err != nil {
		return Image{}, err
	}
	return p.store.image(found.doc.Config.Digest)
}

// find follows indexes to the manifest of the wanted platform.
func (p *pull) find(ctx context.Context, desc ocispec.Descriptor, want platform, depth int) (opened, error) {
	data, err := p.manifest(ctx, desc)
	if err != nil {
		return opened{}, err
	}
	doc, err := parseDocument(data, desc.MediaType)
	if err != nil {
		return opened{}, err
	}
	if isManifest(desc.MediaType) {
		return opened{desc: desc, doc: doc}, nil
	}
	if depth == maxIndexDepth {
		return opened{}, fault.Errorf(errdefs.ErrInvalidArgument, "index %s is nested more than %d deep", desc.Digest, maxIndexDepth)
	}
	for _, m := range want.choose(doc.Manifests) {
		found, err := p.find(ctx, m, want, depth+1)
		if errors.Is(err, errNoPlatform) {
			continue
		}
		return found, err
	}
	return opened{}, fault.Errorf(errdefs.ErrNotFound, "%w %s: the image has %s", errNoPlatform, want, listPlatforms(doc.Manifests))
}

// errNoPlatform lets find go on with the next nested index.
var errNoPlatform = errors.New("no manifest for platform")

// manifest returns a manifest or index from the content store, else from the
// registry, and keeps it.
func (p *pull) manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if err := checkBlob(desc); err != nil {
		return nil, err
	}
	if !isIndex(desc.MediaType) && !isManifest(desc.MediaType) {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "media type %q is not an image's", clip(desc.MediaType))
	}
	p.pins.pin(desc.Digest)
	data, err := p.store.content.ReadBlob(desc, maxManifest)
	if err == nil {
		return data, nil
	}
	if errdefs.IsDataLoss(err) {
		err = p.store.content.Remove(desc.Digest)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, err
	}
	if data, err = p.repo.Manifest(ctx, desc); err != nil {
		return nil, err
	}
	_, err = p.store.content.WriteBlob(ctx, desc.MediaType, data)
	return data, err
}

// config fetches the config and reads it into found.
func (p *pull) config(ctx context.Context, found *opened) error {
	desc := found.doc.Config
	p.pins.pin(desc.Digest)
	if err := p.blob(ctx, desc, func(int64) func(int) { return func(int) {} }); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	data, err := p.store.content.ReadBlob(desc, maxConfig)
	if err != nil {
		return err
	}
	found.config, err = parseConfig(data, len(found.doc.Layers))
	found.chain = chainIDs(found.config.RootFS.DiffIDs)
	return err
}

// layer makes a layer's blob be here, whole and verified.
func (p *pull) layer(ctx context.Context, desc ocispec.Descriptor) error {
	fetched := false
	err := p.blob(ctx, desc, func(from int64) func(int) {
		fetched = true
		return p.report.counter(desc.Digest, StatusDownloading, from, desc.Size)
	})
	var wrong *content.DigestError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%w: it was not unpacked: pull again; if that fails too, the registry's copy is damaged", err)
	}
	if err != nil {
		return err
	}
	if fetched {
		p.report.tell(Progress{Layer: desc.Digest, Status: StatusDownloaded})
	}
	return nil
}

// blob verifies the blob that is here or downloads it. counter is told the
// offset a download starts from and returns what counts its bytes.
func (p *pull) blob(ctx context.Context, desc ocispec.Descriptor, counter func(from int64) func(int)) error {
	err := p.store.content.Verify(ctx, desc)
	if err == nil {
		return nil
	}
	if errdefs.IsDataLoss(err) {
		err = p.store.content.Remove(desc.Digest)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	w, err := p.store.content.Ingest(ctx, desc)
	if errdefs.IsAlreadyExists(err) {
		return nil // another pull brought it
	}
	if err != nil {
		return err
	}
	defer w.Close()
	resumed := w.Offset() > 0
	err = p.download(ctx, desc, w, counter)
	var wrong *content.DigestError
	if resumed && errors.As(err, &wrong) {
		// The bytes an earlier process left may be bad (they were not synced);
		// the registry gets one chance of its own.
		if err := w.Reset(); err != nil {
			return err
		}
		err = p.download(ctx, desc, w, counter)
	}
	return err
}

func (p *pull) download(ctx context.Context, desc ocispec.Descriptor, w *content.Ingest, counter func(from int64) func(int)) error {
	body, err := p.repo.Blob(ctx, desc, w.Offset())
	if err != nil {
		return err
	}
	defer body.Close()
	count := counter(w.Offset())
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			count(n)
		}
		if errors.Is(err, io.EOF) {
			return w.Commit()
		}
		if err != nil {
			return err
		}
	}
}

// opened is a manifest with what it names.
type opened struct {
	desc   ocispec.Descriptor
	doc    document
	config ocispec.Image
	chain  []digest.Digest
}
