package image

import (
	"strings"

	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

const (
	// embeddedShort is what users type for the image inside the berthd binary.
	embeddedShort = "toolbox"
	// embeddedFull keeps that name out of any registry's hands (RFC 9476 and
	// ICANN keep .internal out of the DNS).
	embeddedFull = "berth.internal/toolbox"
	// hubToolbox is what the short name would mean otherwise.
	hubToolbox = "docker.io/library/toolbox"
	// maxReference bounds a reference: a name has at most 255 characters, a
	// tag 128, a digest 71.
	maxReference = 512
)

// Reference is a full reference: domain/path, with a tag, a digest, or both.
// The zero value names nothing.
type Reference struct {
	named reference.Named
}

// ParseReference reads what a user types: "debian" is
// docker.io/library/debian:latest, "toolbox" is the image inside berthd. With
// a digest the tag is dropped, as the digest says which image is meant.
// ErrInvalidArgument says what is wrong with it.
func ParseReference(s string) (Reference, error) {
	if len(s) > maxReference {
		return Reference{}, fault.Errorf(errdefs.ErrInvalidArgument, "image reference of %d characters is longer than %d", len(s), maxReference)
	}
	if _, err := digest.Parse(s); err == nil {
		return Reference{}, fault.Errorf(errdefs.ErrInvalidArgument, "image reference %q is a digest without a repository", s)
	}
	if s == embeddedShort || strings.HasPrefix(s, embeddedShort+":") || strings.HasPrefix(s, embeddedShort+"@") {
		s = embeddedFull + strings.TrimPrefix(s, embeddedShort)
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Reference{}, fault.Errorf(errdefs.ErrInvalidArgument, "image reference %q: %w", s, err)
	}
	if d, ok := named.(reference.Digested); ok {
		if d.Digest().Algorithm() != digest.SHA256 {
			return Reference{}, fault.Errorf(errdefs.ErrInvalidArgument, "image reference %q: only sha256 digests are supported", s)
		}
		canonical, err := reference.WithDigest(reference.TrimNamed(named), d.Digest())
		if err != nil {
			return Reference{}, fault.Errorf(errdefs.ErrInvalidArgument, "image reference %q: %w", s, err)
		}
		return Reference{canonical}, nil
	}
	return Reference{reference.TagNameOnly(named)}, nil
}

// String is the full form, as kept in index.json.
func (r Reference) String() string { return r.named.String() }

// Familiar is the short form users see.
func (r Reference) Familiar() string {
	if rest, ok := strings.CutPrefix(r.named.String(), embeddedFull); ok && (rest[0] == ':' || rest[0] == '@') {
		return embeddedShort + rest
	}
	if r.Repository() == hubToolbox { // its short form is the embedded one's
		return r.named.String()
	}
	return reference.FamiliarString(r.named)
}

// Repository is domain/path.
func (r Reference) Repository() string { return r.named.Name() }

// Domain is the registry's host.
func (r Reference) Domain() string { return reference.Domain(r.named) }

// Digest is the digest, or "" if the reference has a tag.
func (r Reference) Digest() digest.Digest {
	if d, ok := r.named.(reference.Digested); ok {
		return d.Digest()
	}
	return ""
}

// Tag is the tag, or "" if the reference has a digest.
func (r Reference) Tag() string {
	if t, ok := r.named.(reference.Tagged); ok {
		return t.Tag()
	}
	return ""
}

// object is what a registry is asked for.
func (r Reference) object() string {
	if d := r.Digest(); d != "" {
		return d.String()
	}
	return r.Tag()
}

// Embedded says whether this is the image inside the berthd binary, which no
// registry has.
func (r Reference) Embedded() bool { return r.Repository() == embeddedFull }

// withDigest is the digest reference of the same repository.
func (r Reference) withDigest(d digest.Digest) (Reference, error) {
	canonical, err := reference.WithDigest(reference.TrimNamed(r.named), d)
	return Reference{canonical}, err
}
