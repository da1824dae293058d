package terminal

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// slow sends blobs in pieces, so that a bar can be seen.
type slow struct{ http.Handler }

func (s slow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		w = slowWriter{w, r}
	}
	s.Handler.ServeHTTP(w, r)
}

type slowWriter struct {
	http.ResponseWriter
	r *http.Request
}

func (s slowWriter) Write(p []byte) (int, error) {
	const piece = 64 << 10
	for n := 0; n < len(p); n += piece {
		if _, err := s.ResponseWriter.Write(p[n:min(n+piece, len(p))]); err != nil {
			return n, err
		}
		s.ResponseWriter.(http.Flusher).Flush()
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.r.Context().Done():
			return n, io.ErrClosedPipe
		}
	}
	return len(p), nil
}

// pushed is a registry on loopback with an image of some layers.
func pushed(t *testing.T, layers int) string {
	t.Helper()
	server := httptest.NewServer(slow{registry.New(registry.Logger(log.New(io.Discard, "", 0)))})
	t.Cleanup(server.Close)
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, RootFS: ocispec.RootFS{Type: "layers"}}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for range layers {
		d := put(t, server.URL, ocispec.MediaTypeImageLayer, layerOf(t, 2<<20))
		manifest.Layers = append(manifest.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d.Digest)
	}
	manifest.Config = put(t, server.URL, ocispec.MediaTypeImageConfig, encode(t, config))
	send(t, http.MethodPut, server.URL+"/v2/some/image/manifests/1", manifest.MediaType, encode(t, manifest))
	return strings.TrimPrefix(server.URL, "http://") + "/some/image:1"
}

// layerOf is a tar with one file of random bytes.
func layerOf(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: size})
	_, copied := io.CopyN(w, rand.Reader, size)
	if err := errors.Join(err, copied, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t *testing.T, server, media string, data []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: media, Digest: digest.FromBytes(data), Size: int64(len(data))}
	send(t, http.MethodPost, server+"/v2/some/image/blobs/uploads/?digest="+d.Digest.String(), "application/octet-stream", data)
	return d
}

func send(t *testing.T, method, url, media string, data []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusCreated {
		t.Fatalf("%s %s: %s", method, url, a.Status)
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPullShowsBars(t *testing.T) {
	ref := pushed(t, 3)
	s := newScreen(t)
	s.tmux("resize-window", "-x", "130", "-y", "30") // bars need more than 110 columns
	s.line("berth pull " + ref + "; echo ended $?")
	s.match(`(?m)^[0-9a-f]{12}: Downloading +\[=*> *\] +[0-9.]+[kM]?B/[0-9.]+MB`)
	s.wait("ended 0")
	if n := len(regexp.MustCompile(`(?m)^[0-9a-f]{12}: Pull complete`).FindAllString(s.text(), -1)); n != 3 {
		t.Errorf("%d layers are shown as complete, want 3:\n%s", n, s.text())
	}

	// Not on a terminal: lines, no bars.
	out := s.berth.Must(t, "rmi", ref)
	if !strings.Contains(out, "Untagged: "+ref) {
		t.Errorf("berth rmi says %q", out)
	}
	out = s.berth.Must(t, "pull", ref)
	if strings.ContainsAny(out, "\x1b\r>") || !strings.Contains(out, "Pull complete") {
		t.Errorf("a pull without a terminal writes %q", out)
	}
	if got := s.berth.Must(t, "images", "--format", "{{.Repository}}:{{.Tag}}", ref); got != ref {
		t.Errorf("berth images lists %q, want %q", got, ref)
	}
}

// TestPullInterrupted types Ctrl-C into a pull: berth ends, and nothing is there.
func TestPullInterrupted(t *testing.T) {
	ref := pushed(t, 3)
	s := newScreen(t)
	before := s.modes("before")
	s.line("berth pull " + ref)
	s.wait("Downloading")
	s.keys("C-c")
	s.line("echo ended $?") // in a line of its own: a shell drops the rest of one that Ctrl-C ended
	s.wait("ended 130")
	if after := s.modes("after"); after != before {
		t.Errorf("the terminal's modes were %s and are %s", before, after)
	}
	if out := s.berth.Must(t, "images", "-q"); out != "" {
		t.Errorf("images are there after an interrupted pull: %s", out)
	}
}
