package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"berth/content"
	"berth/registry"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }

// server is a registry in this process that tests can put things into as they
// are, right or wrong.
type server struct {
	t    testing.TB
	host string
	// hook, if it returns true, answered the request.
	hook func(w http.ResponseWriter, r *http.Request) bool
}

func newServer(t testing.TB) *server {
	s := &server{t: t}
	h := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.hook != nil && s.hook(w, r) {
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(ts.Close)
	s.host = strings.TrimPrefix(ts.URL, "http://")
	return s
}

func (s *server) do(method, path, contentType string, body []byte) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.host+path, newReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		msg, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("%s %s: %s: %s", method, path, resp.Status, msg)
	}
}

func (s *server) blob(repo string, b blob) ocispec.Descriptor {
	s.t.Helper()
	s.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+b.desc.Digest.String(), "application/octet-stream", b.data)
	return b.desc
}

func (s *server) manifest(repo, tag string, b blob) ocispec.Descriptor {
	s.t.Helper()
	s.do("PUT", "/v2/"+repo+"/manifests/"+tag, b.desc.MediaType, b.data)
	return b.desc
}

// push puts a whole image under repo:tag.
func (s *server) push(repo, tag string, img testImage) {
	s.t.Helper()
	for _, l := range img.layers {
		s.blob(repo, l)
	}
	s.blob(repo, img.config)
	s.manifest(repo, tag, img.manifest)
}

type blob struct {
	desc ocispec.Descriptor
	data []byte
}

func newBlob(mediaType string, data []byte) blob {
	return blob{ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}, data}
}

func jsonBlob(t testing.TB, mediaType string, v any) blob {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return newBlob(mediaType, data)
}

type testImage struct {
	manifest, config blob
	layers           []blob
	tars             [][]byte
}

// makeTar returns a tar with one file.
func makeTar(t testing.TB, name, text string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// makeImage makes an image for this machine with one gzip layer per text.
func makeImage(t testing.TB, texts ...string) testImage {
	t.Helper()
	return makeImageFor(t, mustPlatform(t, "").spec, texts...)
}

func mustPlatform(t testing.TB, s string) platform {
	t.Helper()
	p, err := parsePlatform(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func makeImageFor(t testing.TB, p ocispec.Platform, texts ...string) testImage {
	t.Helper()
	var img testImage
	created := time.Unix(int64(1e9+len(texts)), 0).UTC()
	config := ocispec.Image{Created: &created, Platform: p, RootFS: ocispec.RootFS{Type: "layers"}}
	config.Config.Labels = map[string]string{"berth.privileged": "true"}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, text := range texts {
		tar := makeTar(t, "file", text)
		l := newBlob(ocispec.MediaTypeImageLayerGzip, gzipped(t, tar))
		img.layers, img.tars = append(img.layers, l), append(img.tars, tar)
		m.Layers = append(m.Layers, l.desc)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(tar))
	}
	img.config = jsonBlob(t, ocispec.MediaTypeImageConfig, config)
	m.Config = img.config.desc
	img.manifest = jsonBlob(t, m.MediaType, m)
	return img
}

// newStore returns an empty store in a temporary directory.
func newStore(t testing.TB) (*Store, *fakeLayers) {
	t.Helper()
	c, err := content.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	layers := newFakeLayers()
	return New(c, layers, registry.New(registry.Config{})), layers
}

func mustRef(t testing.TB, s string) Reference {
	t.Helper()
	r, err := ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
