package image

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	ociManifest = ocispec.MediaTypeImageManifest
	ociIndex    = ocispec.MediaTypeImageIndex
)

// descriptorJSON is a descriptor with the given media type and more fields.
func descriptorJSON(mediaType, more string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":3%s}`, mediaType, someDigest, more)
}

func TestParseDocument(t *testing.T) {
	config := `"config":` + descriptorJSON(ocispec.MediaTypeImageConfig, "")
	layer := descriptorJSON(ocispec.MediaTypeImageLayerGzip, "")
	dlayer := descriptorJSON(dockerLayerGzip, "")
	layers := `"layers":[` + layer + `]`
	cases := []struct{ name, mediaType, text, err string }{
		{"OCI manifest", ociManifest, `{"schemaVersion":2,"mediaType":"` + ociManifest + `",` + config + `,` + layers + `}`, ""},
		{"no media type inside", ociManifest, `{` + config + `,` + layers + `}`, ""},
		{"no layers", ociManifest, `{` + config + `,"layers":[]}`, ""},
		{"docker manifest", dockerManifest, `{"config":` + descriptorJSON(dockerConfig, "") + `,"layers":[` + dlayer + `]}`, ""},
		{"index", ociIndex, `{"manifests":[` + descriptorJSON(ociManifest, "") + `]}`, ""},
		{"docker list", dockerIndex, `{"mediaType":"` + dockerIndex + `","manifests":[]}`, ""},
		{"both (test 40)", ociManifest, `{` + config + `,` + layers + `,"manifests":[]}`, "ambiguous"},
		{"index with config (test 40)", ociIndex, `{` + config + `,"manifests":[]}`, "ambiguous"},
		{"index with empty layers (test 40)", ociIndex, `{"layers":[],"manifests":[]}`, "ambiguous"},
		{"manifest served as index (test 40)", ociIndex, `{` + config + `,` + layers + `}`, "does not fit"},
		{"index served as manifest (test 40)", ociManifest, `{"manifests":[]}`, "does not fit"},
		{"another media type inside (test 40)", ociManifest, `{"mediaType":"` + ociIndex + `",` + config + `,` + layers + `}`, "says its media type"},
		{"keys in two cases (test 40)", ociManifest, `{` + config + `,` + layers + `,"Layers":[]}`, `key "Layers"`},
		{"schema 1", dockerManifest, `{"schemaVersion":1,"fsLayers":[]}`, "schema 1"},
		{"unknown media type", "text/html", `{}`, "not an image's"},
		{"not JSON", ociManifest, `<html>`, "not a JSON object"},
		{"null", ociManifest, `null`, "config has media type"},
		{"array", ociManifest, `[]`, "not a JSON object"},
		{"two documents", ociManifest, `{} {}`, "not a JSON object"},
		{"an artifact", ociManifest, `{"config":` + descriptorJSON("application/vnd.oci.empty.v1+json", "") + `,"layers":[]}`, "not a container image"},
		{"foreign layer by type", ociManifest, `{` + config + `,"layers":[` + descriptorJSON("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "") + `]}`, "not supported"},
		{"foreign layer by URL", ociManifest, `{` + config + `,"layers":[` + descriptorJSON(ocispec.MediaTypeImageLayerGzip, `,"urls":["http://a.example/x"]`) + `]}`, "foreign"},
		{"digest is a path", ociManifest, `{` + config + `,"layers":[{"mediaType":"` + ocispec.MediaTypeImageLayer + `","digest":"sha256:../../x","size":1}]}`, "digest"},
		{"negative size", ociManifest, `{` + config + `,"layers":[{"mediaType":"` + ocispec.MediaTypeImageLayer + `","digest":"` + someDigest + `","size":-1}]}`, "size -1"},
		{"huge config", ociManifest, strings.Replace(`{`+config+`,"layers":[]}`, `"size":3`, `"size":99999999`, 1), "config has"},
		{"too many layers", ociManifest, `{` + config + `,"layers":[` + strings.Repeat(layer+",", maxLayers) + layer + `]}`, "layers, more than"},
		{"too many manifests (test 42)", ociIndex, `{"manifests":[` + strings.Repeat("{},", maxManifests) + `{}]}`, "manifests, more than"},
		{"deep JSON (test 42)", ociIndex, `{"manifests":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "manifest"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseDocument([]byte(c.text), c.mediaType)
			if c.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want ErrInvalidArgument with %q", err, c.err)
			}
		})
	}
}

func FuzzParseDocument(f *testing.F) {
	f.Add([]byte(`{"config":`+descriptorJSON(ocispec.MediaTypeImageConfig, "")+`,"layers":[]}`), ociManifest)
	f.Add([]byte(`{"manifests":[{"platform":{"os":"linux"}}]}`), ociIndex)
	f.Add([]byte(`{"manifests":[],"layers":[]}`), dockerIndex)
	f.Fuzz(func(t *testing.T, data []byte, mediaType string) {
		doc, err := parseDocument(data, mediaType)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("class of %v", err)
			}
			return
		}
		if isManifest(mediaType) == isIndex(mediaType) {
			t.Errorf("media type %q was accepted", mediaType)
		}
		if isManifest(mediaType) && (len(doc.Manifests) > 0 || doc.Config.Digest.Validate() != nil) {
			t.Errorf("accepted %+v as a manifest", doc)
		}
		mustPlatform(t, "").choose(doc.Manifests)
	})
}

func TestParseConfig(t *testing.T) {
	one := `{"rootfs":{"type":"layers","diff_ids":["` + someDigest + `"]}}`
	if c, err := parseConfig([]byte(one), 1); err != nil || len(c.RootFS.DiffIDs) != 1 {
		t.Errorf("got %+v, %v", c, err)
	}
	for name, text := range map[string]string{
		"one layer too many": `{"rootfs":{"diff_ids":[]}}`,
		"bad diff id":        `{"rootfs":{"diff_ids":["sha256:../x"]}}`,
		"not JSON":           `{`,
	} {
		if _, err := parseConfig([]byte(text), 1); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: got %v, want ErrInvalidArgument", name, err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"architecture":"amd64","os":"linux","config":{"Labels":{"a":"b"}},"rootfs":{"diff_ids":["`+someDigest+`"]}}`), 1)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		c, err := parseConfig(data, n)
		if err == nil && len(chainIDs(c.RootFS.DiffIDs)) != n {
			t.Errorf("%d layers accepted as %d", len(c.RootFS.DiffIDs), n)
		}
	})
}

// The example of the OCI image specification: a chain id depends on all layers
// below, in order.
func TestChainIDs(t *testing.T) {
	a, b := digest.FromString("a"), digest.FromString("b")
	ab, ba := chainIDs([]digest.Digest{a, b}), chainIDs([]digest.Digest{b, a})
	if ab[0] != a || ab[1] != digest.FromString(a.String()+" "+b.String()) || ba[1] == ab[1] {
		t.Errorf("got %v and %v", ab, ba)
	}
}

func TestChoosePlatform(t *testing.T) {
	descs := func(names ...string) (out []ocispec.Descriptor) {
		for _, n := range names {
			d := ocispec.Descriptor{MediaType: ociManifest, Annotations: map[string]string{"name": n}}
			switch n {
			case "attestation":
				d.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
			case "attestation2":
				d.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
				d.Annotations["vnd.docker.reference.type"] = "attestation-manifest"
			case "none":
			default:
				var p ocispec.Platform
				if err := json.Unmarshal(fmt.Appendf(nil, `{"os":%q,"architecture":%q,"variant":%q}`, part(n, 0), part(n, 1), part(n, 2)), &p); err != nil {
					t.Fatal(err)
				}
				d.Platform = &p
			}
			out = append(out, d)
		}
		return out
	}
	cases := []struct {
		want string
		have []string
		got  string
	}{
		{"linux/amd64", []string{"linux/arm64", "linux/amd64"}, "linux/amd64"},
		{"linux/amd64", []string{"attestation", "attestation2", "linux/386", "linux/amd64"}, "linux/amd64"},
		{"linux/amd64", []string{"linux/386"}, "linux/386"},
		{"linux/amd64", []string{"windows/amd64", "linux/arm64", "attestation"}, ""},
		{"linux/amd64", []string{"none", "linux/amd64"}, "linux/amd64"},
		{"linux/amd64", []string{"none"}, "none"},
		{"linux/arm64", []string{"linux/arm/v7", "linux/arm64/v8", "linux/amd64"}, "linux/arm64/v8"},
		{"linux/arm64", []string{"linux/arm64", "linux/arm/v7"}, "linux/arm64"},
		{"linux/arm64/v9", []string{"linux/arm64/v8", "linux/arm64/v9"}, "linux/arm64/v9"},
		{"linux/arm/v7", []string{"linux/arm/v5", "linux/arm/v6", "linux/arm64"}, "linux/arm/v6"},
		{"arm64", []string{"linux/arm64"}, "linux/arm64"},
	}
	for _, c := range cases {
		t.Run(c.want+" of "+strings.Join(c.have, ","), func(t *testing.T) {
			got := ""
			if fit := mustPlatform(t, c.want).choose(descs(c.have...)); len(fit) > 0 {
				got = fit[0].Annotations["name"]
			}
			if got != c.got {
				t.Errorf("got %q, want %q", got, c.got)
			}
		})
	}
	if _, err := parsePlatform("linux/amd64/v2/x/y"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("bad platform: got %v", err)
	}
}

// part is the i-th part of os/arch/variant, or "".
func part(s string, i int) string {
	parts := strings.Split(s, "/")
	if i < len(parts) {
		return parts[i]
	}
	return ""
}
