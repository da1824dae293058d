package image

import (
	"context"
	"fmt"
	"slices"

	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// RemoveOptions say when an image may go.
type RemoveOptions struct {
	// Force removes an image by id that has several names, or that is in use.
	// The layers of one in use stay until a later [Store.Sweep].
	Force bool
	// InUse says whether a container uses an image id or a chain id. Nil: none.
	InUse func(digest.Digest) bool
}

// Removed says what Remove did.
type Removed struct {
	// Untagged are the names and digest references that were taken away.
	Untagged []string
	// Deleted is the id of the image that is gone, or "".
	Deleted digest.Digest
}

// Remove takes a name away, and with its last name the image: its blobs and
// layers that no other image needs are deleted. By id it takes all names.
// ErrNotFound; ErrConflict if the image is in use, or has names in several
// repositories and ref is an id, and Force is not set.
func (s *Store) Remove(ctx context.Context, ref string, opts RemoveOptions) (Removed, error) {
	if opts.InUse == nil {
		opts.InUse = func(digest.Digest) bool { return false }
	}
	roots, name, err := s.lookup(ref)
	if err != nil {
		return Removed{}, err
	}
	id, idErr := s.id(roots[0]) // a damaged image can be removed, too
	going := leaving(roots, name)
	last := len(going) == len(roots)
	switch {
	case last && !opts.Force && idErr == nil && opts.InUse(id):
		return Removed{}, fault.Errorf(errdefs.ErrConflict, "image %q is used by a container: remove the container first, or use force", ref)
	case name == (Reference{}) && !opts.Force && repositories(roots) > 1:
		return Removed{}, fault.Errorf(errdefs.ErrConflict, "image %q has names in several repositories: remove them by name, or use force", ref)
	}
	err = s.content.Update(func(all []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return slices.DeleteFunc(all, func(d ocispec.Descriptor) bool {
			return slices.ContainsFunc(going, func(g ocispec.Descriptor) bool { return g.Digest == d.Digest && rootName(g) == rootName(d) })
		}), nil
	})
	if err != nil {
		return Removed{}, err
	}
	var out Removed
	for _, g := range going {
		if r, err := ParseReference(rootName(g)); err == nil && rootName(g) != "" {
			out.Untagged = append(out.Untagged, r.Familiar())
		}
	}
	if !last {
		return out, nil
	}
	out.Deleted = id
	if _, err = s.Sweep(ctx, opts.InUse); err != nil {
		return out, fmt.Errorf("image %q is removed, but its space is not free: %w", ref, err)
	}
	return out, nil
}

// leaving picks the descriptors that go when an image is removed by name: that
// name, and if no other tag of its repository is left, the digest references
// of the repository too. By id (no name) all go.
func leaving(roots []ocispec.Descriptor, name Reference) []ocispec.Descriptor {
	if name == (Reference{}) {
		return roots
	}
	var going, digests []ocispec.Descriptor
	tags := 0
	for _, r := range roots {
		other, err := ParseReference(rootName(r))
		switch {
		case rootName(r) == name.String():
			going = append(going, r)
		case rootName(r) == "" || err != nil || other.Repository() != name.Repository():
		case other.Digest() != "":
			digests = append(digests, r)
		default:
			tags++
		}
	}
	if tags == 0 && name.Digest() == "" {
		going = append(going, digests...)
	}
	return going
}

// repositories counts the repositories an image has names in.
func repositories(roots []ocispec.Descriptor) int {
	seen := map[string]bool{}
	for _, r := range roots {
		if ref, err := ParseReference(rootName(r)); err == nil && rootName(r) != "" {
			seen[ref.Repository()] = true
		}
	}
	return len(seen)
}
