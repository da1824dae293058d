package image

import (
	"encoding/json"
	"fmt"
	"strings"

	"berth/content"
	"berth/internal/fault"
	"berth/internal/linux"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxManifest and maxConfig bound what is read into memory.
	maxManifest = 4 << 20
	maxConfig   = 4 << 20
	// maxLayers is what overlayfs can stack.
	maxLayers = linux.MaxLower
	// maxIndexDepth bounds indexes in indexes.
	maxIndexDepth = 3
	// maxManifests bounds the entries of one index.
	maxManifests = 2000
)

// The media types of Docker's image format (schema 2), which are the OCI ones
// by another name.
const (
	dockerManifest  = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig    = "application/vnd.docker.container.image.v1+json"
	dockerLayer     = "application/vnd.docker.image.rootfs.diff.tar"
	dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd"
)

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == dockerIndex
}

func isManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == dockerManifest
}

// document is a manifest or an index: its keys tell which.
type document struct {
	MediaType string               `json:"mediaType"`
	Config    ocispec.Descriptor   `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
}

// parseDocument reads a manifest or index that was verified against its
// digest. One that could be read in two ways is refused: one that has both
// layers and manifests, or whose media type is another than the descriptor's
// (CVE-2021-41190), or whose keys differ from the specification's in case,
// which Go reads and others do not.
func parseDocument(data []byte, mediaType string) (document, error) {
	var doc document
	refuse := func(format string, args ...any) (document, error) {
		return document{}, fault.Errorf(errdefs.ErrInvalidArgument, format, args...)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return refuse("manifest is not a JSON object: %v", err)
	}
	for k := range keys {
		for _, known := range []string{"schemaVersion", "mediaType", "config", "layers", "manifests", "fsLayers"} {
			if strings.EqualFold(k, known) && k != known {
				return refuse("manifest has the key %q, which is not %q", k, known)
			}
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return refuse("manifest: %v", err)
	}
	_, hasConfig := keys["config"]
	_, hasLayers := keys["layers"]
	_, hasManifests := keys["manifests"]
	_, hasFSLayers := keys["fsLayers"]
	switch {
	case hasFSLayers:
		return refuse("manifest is of Docker's schema 1, which is not supported: push the image again with a current tool")
	case hasManifests && (hasLayers || hasConfig):
		return refuse("manifest is ambiguous: it has both manifests and layers")
	case doc.MediaType != "" && doc.MediaType != mediaType:
		return refuse("manifest says its media type is %q, but it was served as %q", clip(doc.MediaType), clip(mediaType))
	case isIndex(mediaType) && (hasLayers || hasConfig), isManifest(mediaType) && hasManifests:
		return refuse("manifest does not fit its media type %q", mediaType)
	case !isIndex(mediaType) && !isManifest(mediaType):
		return refuse("media type %q is not an image's", clip(mediaType))
	case len(doc.Layers) > maxLayers:
		return refuse("image has %d layers, more than %d", len(doc.Layers), maxLayers)
	case len(doc.Manifests) > maxManifests:
		return refuse("index has %d manifests, more than %d", len(doc.Manifests), maxManifests)
	}
	if isManifest(mediaType) {
		return doc, checkManifest(doc)
	}
	return doc, nil
}

func checkManifest(doc document) error {
	if t := doc.Config.MediaType; t != ocispec.MediaTypeImageConfig && t != dockerConfig {
		return fault.Errorf(errdefs.ErrInvalidArgument, "not a container image: its config has media type %q", clip(t))
	}
	if err := checkBlob(doc.Config); err != nil {
		return err
	}
	if doc.Config.Size > maxConfig {
		return fault.Errorf(errdefs.ErrInvalidArgument, "config has %d bytes, more than %d", doc.Config.Size, maxConfig)
	}
	for i, l := range doc.Layers {
		switch l.MediaType {
		case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd,
			dockerLayer, dockerLayerGzip, dockerLayerZstd:
		default:
			return fault.Errorf(errdefs.ErrInvalidArgument, "layer %d has media type %q, which is not supported", i+1, clip(l.MediaType))
		}
		if err := checkBlob(l); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return nil
}

// checkBlob refuses descriptors that no blob can satisfy, and foreign ones.
func checkBlob(d ocispec.Descriptor) error {
	if err := content.Check(d.Digest); err != nil {
		return err
	}
	if d.Size < 0 {
		return fault.Errorf(errdefs.ErrInvalidArgument, "blob %s has size %d", d.Digest, d.Size)
	}
	if len(d.URLs) > 0 {
		return fault.Errorf(errdefs.ErrInvalidArgument, "blob %s is to be fetched from another server (foreign layer): refused", d.Digest)
	}
	return nil
}

// parseConfig reads an image's config that was verified against its digest
// and checks that it describes nLayers layers.
func parseConfig(data []byte, nLayers int) (ocispec.Image, error) {
	var c ocispec.Image
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fault.Errorf(errdefs.ErrInvalidArgument, "image config: %w", err)
	}
	if len(c.RootFS.DiffIDs) != nLayers {
		return c, fault.Errorf(errdefs.ErrInvalidArgument, "image config lists %d layers, the manifest %d", len(c.RootFS.DiffIDs), nLayers)
	}
	for _, d := range c.RootFS.DiffIDs {
		if err := content.Check(d); err != nil {
			return c, fmt.Errorf("image config: layer: %w", err)
		}
	}
	return c, nil
}

// chainIDs computes the chain ids of layers, bottom first (OCI image
// specification, config.md, "Layer ChainID").
func chainIDs(diffIDs []digest.Digest) []digest.Digest {
	out := make([]digest.Digest, len(diffIDs))
	for i, d := range diffIDs {
		if i == 0 {
			out[i] = d
			continue
		}
		out[i] = digest.FromString(out[i-1].String() + " " + d.String())
	}
	return out
}

// clip shortens foreign text for a message.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
