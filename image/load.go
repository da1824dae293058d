package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"berth/content"
	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// containerdName is the annotation in which containerd, Docker and BuildKit
// write an image's full name; ref.name then holds only the tag.
const containerdName = "io.containerd.image.name"

// maxArchiveImages bounds the images of one archive.
const maxArchiveImages = 1000

// LoadOptions say what Load takes. The zero value takes what fits this machine.
type LoadOptions struct {
	// Platform is os/arch[/variant]; empty is this machine.
	Platform string
	// Progress is as in [PullOptions].
	Progress func(Progress)
}

// Load reads an archive with one or more images, an OCI image layout or what
// docker save writes (old or new), plain, gzip or zstd, and unpacks them. It
// returns the images in the archive's order. r is spooled to the content
// store's disk, not to memory. The Names of what it returns are those of the
// archive, the Digests none. ErrInvalidArgument if it is no such archive or
// breaks a rule, ErrResourceExhausted if the disk is full; images before the
// bad one are loaded then.
func (s *Store) Load(ctx context.Context, r io.Reader, opts LoadOptions) (_ []Image, err error) {
	want, err := parsePlatform(opts.Platform)
	if err != nil {
		return nil, err
	}
	a, err := readArchive(ctx, s.content, r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	l := &load{store: s, archive: a, pins: pinned{store: s}, want: want, strict: opts.Platform != "", report: &reporter{f: opts.Progress}}
	defer l.pins.release()
	found, err := l.find()
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, f := range found {
		img, err := l.install(ctx, f)
		if err != nil {
			return images, err
		}
		images = append(images, img)
	}
	return images, nil
}

// load is one run of Load.
type load struct {
	store   *Store
	archive *archive
	pins    pinned
	want    platform
	strict  bool // the caller named the platform
	report  *reporter
}

// loadable is an image of an archive: its manifest, as bytes, and names.
type loadable struct {
	opened
	manifest []byte
	names    []Reference
	// blobs says which file of the archive is which blob.
	blobs map[digest.Digest]*content.Spool
}

// find lists the images of the archive. An OCI layout goes before docker's
// manifest.json where both are there (Docker 25 and later): it has the
// manifests as they were, and so the digests.
func (l *load) find() ([]loadable, error) {
	var index ocispec.Index
	err := l.archive.json(ocispec.ImageIndexFile, &index)
	if err == nil {
		return l.findOCI(index)
	}
	if !errdefs.IsNotFound(err) {
		return nil, err
	}
	var manifests []dockerArchiveImage
	err = l.archive.json("manifest.json", &manifests)
	if errdefs.IsNotFound(err) {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "not an image archive: it has neither index.json (OCI layout) nor manifest.json (docker save)")
	}
	if err != nil {
		return nil, err
	}
	return l.findDocker(manifests)
}

// findOCI takes one image per name in index.json, and one for what has none.
func (l *load) findOCI(index ocispec.Index) ([]loadable, error) {
	groups := map[string][]ocispec.Descriptor{}
	var order []string
	for _, d := range index.Manifests {
		name := archiveName(d.Annotations)
		if groups[name] == nil {
			order = append(order, name)
		}
		groups[name] = append(groups[name], d)
	}
	if len(order) > maxArchiveImages {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "image archive has more than %d images", maxArchiveImages)
	}
	var out []loadable
	byDigest := map[digest.Digest]int{}
	for _, name := range order {
		found, err := l.choose(groups[name], 0)
		if err != nil {
			return nil, fmt.Errorf("image archive: image %q: %w", clip(name), err)
		}
		if name != "" {
			ref, err := ParseReference(name)
			if err != nil {
				return nil, fmt.Errorf("image archive: %w", err)
			}
			found.names = []Reference{ref}
		}
		if i, ok := byDigest[found.desc.Digest]; ok { // one image, several names
			out[i].names = append(out[i].names, found.names...)
			continue
		}
		byDigest[found.desc.Digest] = len(out)
		out = append(out, found)
	}
	if len(out) == 0 {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "image archive holds no image")
	}
	return out, nil
}

// archiveName is the image name in the annotations of index.json, or "". A
// bare ref.name is a tag without a repository, which names nothing here.
func archiveName(annotations map[string]string) string {
	if name := annotations[containerdName]; name != "" {
		return name
	}
	if name := annotations[ocispec.AnnotationRefName]; strings.ContainsAny(name, ":/") {
		return name
	}
	return ""
}

// choose follows indexes to the manifest for the wanted platform. Where there
// is only one image and nobody asked for a platform, that one is meant.
func (l *load) choose(manifests []ocispec.Descriptor, depth int) (loadable, error) {
	fit := l.want.choose(manifests)
	if len(fit) == 0 && !l.strict {
		images := slices.DeleteFunc(slices.Clone(manifests), isAttestation)
		if len(images) == 1 {
			fit = images
		}
	}
	for _, desc := range fit {
		found, err := l.read(desc, depth)
		if errors.Is(err, errNoPlatform) || errdefs.IsNotFound(err) && len(fit) > 1 {
			continue // docker save leaves out the blobs of other platforms
		}
		return found, err
	}
	return loadable{}, fault.Errorf(errdefs.ErrNotFound, "%w %s: it has %s", errNoPlatform, l.want, listPlatforms(manifests))
}

func (l *load) read(desc ocispec.Descriptor, depth int) (loadable, error) {
	f, err := l.archive.blob(desc)
	if err != nil {
		return loadable{}, err
	}
	data, err := readSpool(f, maxManifest)
	if err != nil {
		return loadable{}, err
	}
	doc, err := parseDocument(data, desc.MediaType)
	if err != nil {
		return loadable{}, err
	}
	if isIndex(desc.MediaType) {
		if depth == maxIndexDepth {
			return loadable{}, fault.Errorf(errdefs.ErrInvalidArgument, "index %s is nested more than %d deep", desc.Digest, maxIndexDepth)
		}
		return l.choose(doc.Manifests, depth+1)
	}
	out := loadable{opened: opened{desc: desc, doc: doc}, manifest: data, blobs: map[digest.Digest]*content.Spool{}}
	for _, d := range append([]ocispec.Descriptor{doc.Config}, doc.Layers...) {
		if out.blobs[d.Digest], err = l.archive.blob(d); err != nil {
			return loadable{}, err
		}
	}
	return out, nil
}

// dockerArchiveImage is an entry of manifest.json, which docker save writes.
type dockerArchiveImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// findDocker writes an OCI manifest for each image of manifest.json. The
// config is taken as it is, so the image has the id it had in Docker.
func (l *load) findDocker(manifests []dockerArchiveImage) ([]loadable, error) {
	if len(manifests) == 0 || len(manifests) > maxArchiveImages {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "image archive has %d images, not between 1 and %d", len(manifests), maxArchiveImages)
	}
	var out []loadable
	for _, m := range manifests {
		found, err := l.fromDocker(m)
		if err != nil {
			return nil, fmt.Errorf("image archive: %w", err)
		}
		out = append(out, found)
	}
	return out, nil
}

func (l *load) fromDocker(m dockerArchiveImage) (loadable, error) {
	out := loadable{blobs: map[digest.Digest]*content.Spool{}}
	for _, tag := range m.RepoTags {
		ref, err := ParseReference(tag)
		if err != nil {
			return loadable{}, err
		}
		out.names = append(out.names, ref)
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	add := func(name, mediaType string) (ocispec.Descriptor, error) {
		f := l.archive.file(name)
		if f == nil {
			return ocispec.Descriptor{}, fault.Errorf(errdefs.ErrInvalidArgument, "manifest.json names %q, which is not there", clip(name))
		}
		desc := f.Descriptor()
		out.blobs[desc.Digest] = f
		var err error
		if desc.MediaType = mediaType; mediaType == "" {
			desc.MediaType, err = layerType(f)
		}
		return desc, err
	}
	var err error
	if manifest.Config, err = add(m.Config, ocispec.MediaTypeImageConfig); err != nil {
		return loadable{}, err
	}
	manifest.Layers = make([]ocispec.Descriptor, len(m.Layers))
	for i, name := range m.Layers {
		if manifest.Layers[i], err = add(name, ""); err != nil {
			return loadable{}, err
		}
	}
	if out.manifest, err = json.Marshal(manifest); err != nil {
		return loadable{}, err
	}
	out.desc = ocispec.Descriptor{MediaType: manifest.MediaType, Digest: digest.FromBytes(out.manifest), Size: int64(len(out.manifest))}
	out.doc, err = parseDocument(out.manifest, manifest.MediaType) // the same rules as for a pulled one
	return out, err
}

func readSpool(f *content.Spool, limit int64) ([]byte, error) {
	if n := f.Descriptor().Size; n > limit {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "blob %s has %d bytes, more than %d", f.Descriptor().Digest, n, limit)
	}
	r, err := f.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// install makes blobs of an image's files, unpacks its layers and records it.
func (l *load) install(ctx context.Context, found loadable) (Image, error) {
	data, err := readSpool(found.blobs[found.doc.Config.Digest], maxConfig)
	if err != nil {
		return Image{}, err
	}
	if found.config, err = parseConfig(data, len(found.doc.Layers)); err != nil {
		return Image{}, fmt.Errorf("load %s: %w", found.title(), err)
	}
	if l.strict {
		if err := l.want.check(found.config); err != nil {
			return Image{}, fmt.Errorf("load %s: %w", found.title(), err)
		}
	}
	found.chain = chainIDs(found.config.RootFS.DiffIDs)
	l.pins.pin(found.desc.Digest)
	l.pins.pin(slices.Collect(maps.Keys(found.blobs))...)
	l.pins.pin(found.chain...)
	err = l.store.install(ctx, found.opened, l.report, func(_ context.Context, d ocispec.Descriptor) error {
		return l.commit(found.blobs[d.Digest])
	})
	if err == nil {
		err = l.commit(found.blobs[found.doc.Config.Digest])
	}
	if err == nil {
		_, err = l.store.content.WriteBlob(ctx, found.desc.MediaType, found.manifest)
	}
	var root ocispec.Descriptor
	if err == nil {
		root, err = l.store.root(found.opened)
	}
	if err == nil {
		err = l.store.record(root, found.names)
	}
	if err != nil {
		return Image{}, fmt.Errorf("load %s: %w", found.title(), err)
	}
	img, err := l.store.image(found.doc.Config.Digest)
	img.Names, img.Digests = nil, nil
	for _, n := range found.names {
		img.Names = append(img.Names, n.Familiar())
	}
	slices.Sort(img.Names)
	return img, err
}

// commit makes a blob of a spooled file. One file may be several layers.
func (l *load) commit(f *content.Spool) error {
	if err := f.Commit(); err != nil {
		return fmt.Errorf("keep blob %s: %w", f.Descriptor().Digest, err)
	}
	return nil
}

// title names the image in an error.
func (l loadable) title() string {
	if len(l.names) > 0 {
		return l.names[0].Familiar()
	}
	return l.doc.Config.Digest.String()
}
