package image

import (
	"maps"
	"slices"
	"strings"

	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// rootName is the name a descriptor in index.json gives its image.
func rootName(d ocispec.Descriptor) string { return d.Annotations[ocispec.AnnotationRefName] }

// record gives the image names, taking them from whoever has them. An image
// that loses its last name this way stays, nameless. No names keep it
// nameless. Everything root reaches must be here.
func (s *Store) record(root ocispec.Descriptor, names []Reference) error {
	return s.content.Update(func(roots []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		for _, n := range names {
			roots = dropName(roots, n.String())
		}
		if len(names) == 0 && slices.ContainsFunc(roots, func(d ocispec.Descriptor) bool { return d.Digest == root.Digest }) {
			return roots, nil
		}
		roots = slices.DeleteFunc(roots, func(d ocispec.Descriptor) bool { return d.Digest == root.Digest && rootName(d) == "" })
		if len(names) == 0 {
			roots = append(roots, root)
		}
		for _, n := range names {
			named := root
			named.Annotations = maps.Clone(root.Annotations)
			if named.Annotations == nil {
				named.Annotations = map[string]string{}
			}
			named.Annotations[ocispec.AnnotationRefName] = n.String()
			roots = append(roots, named)
		}
		return roots, nil
	})
}

// dropName takes a name away; the image keeps a nameless descriptor if it was
// its last.
func dropName(roots []ocispec.Descriptor, name string) []ocispec.Descriptor {
	i := slices.IndexFunc(roots, func(d ocispec.Descriptor) bool { return rootName(d) == name })
	if i < 0 {
		return roots
	}
	old := roots[i]
	roots = slices.Delete(roots, i, i+1)
	if !slices.ContainsFunc(roots, func(d ocispec.Descriptor) bool { return d.Digest == old.Digest }) {
		old.Annotations = unnamed(old.Annotations)
		roots = append(roots, old)
	}
	return roots
}

// unnamed returns annotations without the name.
func unnamed(annotations map[string]string) map[string]string {
	out := maps.Clone(annotations)
	delete(out, ocispec.AnnotationRefName)
	return out
}

// Tag gives the image that source names the further name target, taking it
// from another image if need be.
func (s *Store) Tag(source, target string) error {
	ref, err := ParseReference(target)
	if err != nil {
		return err
	}
	if ref.Digest() != "" {
		return fault.Errorf(errdefs.ErrInvalidArgument, "tag %q: a new name cannot have a digest", target)
	}
	roots, _, err := s.lookup(source)
	if err != nil {
		return err
	}
	root := roots[0]
	root.Annotations = unnamed(root.Annotations)
	return s.record(root, []Reference{ref})
}

// Get finds an image by name ("debian:12", "debian"), digest reference
// ("debian@sha256:..."), id, or the first digits of an id. ErrNotFound if
// there is none, ErrInvalidArgument if the digits fit several or the text
// cannot be a name.
func (s *Store) Get(ref string) (Image, error) {
	roots, _, err := s.lookup(ref)
	if err != nil {
		return Image{}, err
	}
	return s.describe(roots)
}

// couldBeID says whether ref can be an id or the start of one.
func couldBeID(ref string) bool {
	digits := strings.TrimPrefix(ref, "sha256:")
	return len(digits) >= 1 && len(digits) <= 64 && strings.Trim(digits, "0123456789abcdef") == ""
}

// lookup finds the descriptors of one image and the name it was found by,
// which is zero if it was found by id. A full id goes before a name, a name
// before a shortened id, as in Docker.
func (s *Store) lookup(ref string) ([]ocispec.Descriptor, Reference, error) {
	roots := s.content.Roots()
	isID := couldBeID(ref)
	full := isID && len(strings.TrimPrefix(ref, "sha256:")) == 64
	name, nameErr := ParseReference(ref)
	if !full && nameErr == nil {
		i := slices.IndexFunc(roots, func(d ocispec.Descriptor) bool { return rootName(d) == name.String() })
		if i >= 0 {
			return s.sameImage(roots, roots[i]), name, nil
		}
	}
	if isID {
		found, err := s.byID(roots, strings.TrimPrefix(ref, "sha256:"))
		if err != nil || found != nil {
			return found, Reference{}, err
		}
	}
	if nameErr != nil && !isID {
		return nil, Reference{}, nameErr
	}
	return nil, Reference{}, fault.Errorf(errdefs.ErrNotFound, "image %q not found on this machine: pull it or check the name", ref)
}

// byID returns the descriptors of the one image whose id starts with prefix.
func (s *Store) byID(roots []ocispec.Descriptor, prefix string) ([]ocispec.Descriptor, error) {
	var id digest.Digest
	var found []ocispec.Descriptor
	for _, root := range roots {
		this, err := s.id(root)
		if err != nil {
			continue // a damaged image has no id; others must still be found
		}
		if !strings.HasPrefix(this.Encoded(), prefix) {
			continue
		}
		if id != "" && this != id {
			return nil, fault.Errorf(errdefs.ErrInvalidArgument, "image id %q is ambiguous: it fits %s and %s: give more digits",
				prefix, id.Encoded()[:12], this.Encoded()[:12])
		}
		id = this
		found = append(found, root)
	}
	return found, nil
}

// id reads the id of an image: the digest of its config.
func (s *Store) id(root ocispec.Descriptor) (digest.Digest, error) {
	if id, ok := s.ids.Load(root.Digest); ok {
		return id.(digest.Digest), nil
	}
	data, err := s.content.ReadBlob(root, maxManifest)
	if err != nil {
		return "", damaged(root, err)
	}
	doc, err := parseDocument(data, root.MediaType)
	if err != nil {
		return "", damaged(root, err)
	}
	s.ids.Store(root.Digest, doc.Config.Digest)
	return doc.Config.Digest, nil
}

// sameImage returns the descriptors of root's image, root first. Two manifests
// of one config (one compressed differently) are one image.
func (s *Store) sameImage(roots []ocispec.Descriptor, root ocispec.Descriptor) []ocispec.Descriptor {
	out := []ocispec.Descriptor{root}
	id, err := s.id(root)
	for _, other := range roots {
		if rootName(other) == rootName(root) && other.Digest == root.Digest {
			continue
		}
		same := other.Digest == root.Digest
		if !same && err == nil {
			otherID, otherErr := s.id(other)
			same = otherErr == nil && otherID == id
		}
		if same {
			out = append(out, other)
		}
	}
	return out
}

// image returns the image with this id.
func (s *Store) image(id digest.Digest) (Image, error) { return s.Get(id.String()) }

// describe builds the image of descriptors that are all of one image.
func (s *Store) describe(roots []ocispec.Descriptor) (Image, error) {
	o, err := s.open(roots[0])
	if err != nil {
		return Image{}, err
	}
	img := Image{ID: o.doc.Config.Digest, Config: o.config, Manifest: o.desc, Layers: o.doc.Layers, Chain: o.chain}
	img.Manifest.Annotations = nil
	if img.Size, err = s.size(o); err != nil {
		return Image{}, err
	}
	for _, r := range roots {
		ref, err := ParseReference(rootName(r))
		switch {
		case rootName(r) == "" || err != nil: // another tool's name stays its own business
		case ref.Digest() != "":
			img.Digests = append(img.Digests, ref.Familiar())
		default:
			img.Names = append(img.Names, ref.Familiar())
		}
	}
	slices.Sort(img.Names)
	slices.Sort(img.Digests)
	return img, nil
}

// List returns all images, newest first. A damaged one is left out of the
// list and reported in the error, beside the others.
func (s *Store) List() ([]Image, error) {
	groups := map[digest.Digest][]ocispec.Descriptor{}
	var order []digest.Digest
	var firstErr error
	for _, root := range s.content.Roots() {
		id, err := s.id(root)
		if err != nil {
			firstErr = keepFirst(firstErr, err)
			continue
		}
		if groups[id] == nil {
			order = append(order, id)
		}
		groups[id] = append(groups[id], root)
	}
	images := make([]Image, 0, len(order))
	for _, id := range order {
		img, err := s.describe(groups[id])
		if err != nil {
			firstErr = keepFirst(firstErr, err)
			continue
		}
		images = append(images, img)
	}
	slices.SortStableFunc(images, func(a, b Image) int { return createdOrder(b, a) })
	return images, firstErr
}

func keepFirst(first, next error) error {
	if first != nil {
		return first
	}
	return next
}

// createdOrder sorts by the time the image says it was made; one that says
// nothing is oldest.
func createdOrder(a, b Image) int {
	switch {
	case a.Config.Created == nil && b.Config.Created == nil:
		return 0
	case a.Config.Created == nil:
		return -1
	case b.Config.Created == nil:
		return 1
	}
	return a.Config.Created.Compare(*b.Config.Created)
}
