package image

import (
	"slices"
	"strings"

	"berth/internal/fault"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// platform is the platform an image is wanted for.
type platform struct {
	spec    ocispec.Platform
	matcher platforms.MatchComparer
}

// parsePlatform reads --platform ("linux/arm64/v8", "arm64"); empty is this
// machine. It matches what such a machine can run: an older variant, and
// 32-bit programs on a 64-bit machine, the best fit first.
func parsePlatform(s string) (platform, error) {
	spec := platforms.DefaultSpec()
	if s != "" {
		var err error
		if spec, err = platforms.Parse(s); err != nil {
			return platform{}, fault.Errorf(errdefs.ErrInvalidArgument, "platform %q: %w", clip(s), err)
		}
	}
	return platform{spec: spec, matcher: platforms.Only(spec)}, nil
}

func (p platform) String() string { return platforms.Format(p.spec) }

// choose returns the manifests of an index that fit, best first. Attestations
// (BuildKit's in-toto manifests) are no images and fit nothing.
func (p platform) choose(manifests []ocispec.Descriptor) []ocispec.Descriptor {
	var fit []ocispec.Descriptor
	for _, m := range manifests {
		if isAttestation(m) || !isIndex(m.MediaType) && !isManifest(m.MediaType) {
			continue
		}
		// A nested index or a manifest without platform may hold it.
		if m.Platform == nil || p.matcher.Match(*m.Platform) {
			fit = append(fit, m)
		}
	}
	slices.SortStableFunc(fit, func(a, b ocispec.Descriptor) int {
		switch {
		case a.Platform == nil || b.Platform == nil:
			return boolOrder(a.Platform == nil, b.Platform == nil)
		case p.matcher.Less(*a.Platform, *b.Platform):
			return -1
		case p.matcher.Less(*b.Platform, *a.Platform):
			return 1
		}
		return 0
	})
	return fit
}

// boolOrder sorts false before true.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func isAttestation(m ocispec.Descriptor) bool {
	return m.Annotations["vnd.docker.reference.type"] == "attestation-manifest" ||
		m.Platform != nil && m.Platform.OS == "unknown" && m.Platform.Architecture == "unknown"
}

// check refuses an image for another platform. A config that names none, as
// hand-made images have, is taken.
func (p platform) check(c ocispec.Image) error {
	if c.OS == "" && c.Architecture == "" || p.matcher.Match(c.Platform) {
		return nil
	}
	return fault.Errorf(errdefs.ErrNotFound, "image is for %s, not for %s: name the platform you want with --platform",
		platforms.Format(c.Platform), p)
}

// list names the platforms of an index, for a message.
func listPlatforms(manifests []ocispec.Descriptor) string {
	var names []string
	for _, m := range manifests {
		if m.Platform != nil && !isAttestation(m) && len(names) < 20 {
			names = append(names, clip(platforms.Format(*m.Platform)))
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
