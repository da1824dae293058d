package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"berth/content"
	"berth/registry"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPullAndGet(t *testing.T) {
	srv := newServer(t)
	img := makeImage(t, "one", "two", "three")
	srv.push("debian", "12", img)
	s, layers := newStore(t)
	ref := mustRef(t, srv.host+"/debian:12")
	var seen []Progress
	got, err := s.Pull(t.Context(), ref, PullOptions{Progress: func(p Progress) { seen = append(seen, p) }})
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != img.config.desc.Digest {
		t.Errorf("id: got %s, want %s", got.ID, img.config.desc.Digest)
	}
	if diff := cmp.Diff([]string{srv.host + "/debian:12"}, got.Names); diff != "" {
		t.Error("names", diff)
	}
	if diff := cmp.Diff([]string{srv.host + "/debian@" + img.manifest.desc.Digest.String()}, got.Digests); diff != "" {
		t.Error("digests", diff)
	}
	if len(got.Chain) != 3 || layers.calls != 3 {
		t.Errorf("chain %v, %d layers unpacked, want 3 each", got.Chain, layers.calls)
	}
	done := 0
	for _, p := range seen {
		if p.Status == StatusDone {
			done++
		}
	}
	if done != 3 {
		t.Errorf("%d layers reported done, want 3: %v", done, seen)
	}
	seen = nil
	if _, err := s.Pull(t.Context(), ref, PullOptions{Progress: func(p Progress) { seen = append(seen, p) }}); err != nil {
		t.Fatal(err)
	}
	for _, p := range seen {
		if p.Status != StatusWaiting && p.Status != StatusExists {
			t.Errorf("second pull: %+v, want that all exists", p)
		}
	}
	for _, name := range []string{ref.String(), got.ID.String(), got.ID.Encoded(), got.ID.Encoded()[:12], got.Digests[0]} {
		again, err := s.Get(name)
		if err != nil {
			t.Errorf("get %q: %v", name, err)
			continue
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("get %q: %s", name, diff)
		}
	}
}

func TestSecurity39LabelsAreData(t *testing.T) {
	srv := newServer(t)
	img := makeImage(t, "one")
	srv.push("a", "1", img)
	s, _ := newStore(t)
	got, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:1"), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Config.Config.Labels["berth.privileged"] != "true" {
		t.Errorf("labels %v", got.Config.Config.Labels)
	}
	for _, root := range s.content.Roots() {
		for k := range root.Annotations {
			if k != ocispec.AnnotationRefName && k != sizeName {
				t.Errorf("the image put %q into index.json", k)
			}
		}
	}
}

// index pushes an index of images for several platforms under repo:tag.
func (s *server) index(repo, tag string, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	s.t.Helper()
	return s.manifest(repo, tag, jsonBlob(s.t, ociIndex, ocispec.Index{MediaType: ociIndex, Manifests: manifests}))
}

func withPlatform(d ocispec.Descriptor, p ocispec.Platform) ocispec.Descriptor {
	d.Platform = &p
	return d
}

func TestPullPlatform(t *testing.T) {
	srv := newServer(t)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	here := mustPlatform(t, "").spec
	imgHere, imgArm := makeImage(t, "here"), makeImageFor(t, arm, "arm")
	srv.push("a", "here", imgHere)
	srv.push("a", "arm", imgArm)
	attestation := imgArm.manifest.desc
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	index := srv.index("a", "1", attestation, withPlatform(imgArm.manifest.desc, arm), withPlatform(imgHere.manifest.desc, here))
	nested := srv.index("a", "nested", index)
	srv.index("a", "attestations", attestation)
	s, _ := newStore(t)
	pull := func(ref, platform string) (Image, error) {
		return s.Pull(t.Context(), mustRef(t, srv.host+"/"+ref), PullOptions{Platform: platform})
	}
	for _, c := range []struct {
		ref, platform string
		want          testImage
		digest        ocispec.Descriptor
	}{
		{"a:1", "", imgHere, index},
		{"a:1", "linux/arm64", imgArm, index},
		{"a:nested", "", imgHere, nested},
		{"a@" + index.Digest.String(), "", imgHere, index},
		{"a:arm", "linux/arm64", imgArm, imgArm.manifest.desc},
	} {
		got, err := pull(c.ref, c.platform)
		if err != nil || got.ID != c.want.config.desc.Digest {
			t.Errorf("%s for %q: got %s, %v; want %s", c.ref, c.platform, got.ID, err, c.want.config.desc.Digest)
			continue
		}
		if d := srv.host + "/a@" + c.digest.Digest.String(); !slices.Contains(got.Digests, d) {
			t.Errorf("%s: digests %v, want %s", c.ref, got.Digests, d)
		}
	}
	for _, c := range []struct{ ref, platform, text string }{
		{"a:1", "linux/s390x", "linux/arm64"},
		{"a:arm", "linux/s390x", "image is for linux/arm64"},
		{"a:attestations", "", "no manifest for platform"},
		{"a:unknown", "", "check name and tag"},
	} {
		if _, err := pull(c.ref, c.platform); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s for %q: got %v, want ErrNotFound with %q", c.ref, c.platform, err, c.text)
		}
	}
}

func TestSecurity40And42HostileManifests(t *testing.T) {
	srv := newServer(t)
	good := makeImage(t, "one")
	srv.push("a", "good", good)
	var both map[string]any
	if err := json.Unmarshal(good.manifest.data, &both); err != nil {
		t.Fatal(err)
	}
	both["manifests"] = []any{}
	srv.manifest("a", "both", jsonBlob(t, ociManifest, both))
	deep := good.manifest.desc
	for i := range 6 {
		deep = srv.index("a", fmt.Sprint("deep", i), deep)
	}
	lie := good.manifest.desc
	lie.MediaType = ociIndex
	srv.index("a", "lie", lie)
	s, layers := newStore(t)
	for _, tag := range []string{"both", "deep5", "lie"} {
		if _, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:"+tag), PullOptions{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: got %v, want ErrInvalidArgument", tag, err)
		}
	}
	if layers.calls != 0 || len(s.content.Roots()) != 0 {
		t.Errorf("%d layers unpacked, names %v; want none", layers.calls, s.content.Roots())
	}
}

// blobPath is where the content store keeps a blob.
func blobPath(s *Store, d digest.Digest) string {
	return filepath.Join(s.content.Root(), "blobs", "sha256", d.Encoded())
}

func flipByte(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestSecurity43RepullHealsFlippedByte(t *testing.T) {
	srv := newServer(t)
	img := makeImage(t, "one", "two")
	srv.push("a", "1", img)
	s, _ := newStore(t)
	ref := mustRef(t, srv.host+"/a:1")
	for name, desc := range map[string]ocispec.Descriptor{
		"layer": img.layers[1].desc, "config": img.config.desc, "manifest": img.manifest.desc,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil {
				t.Fatal(err)
			}
			flipByte(t, blobPath(s, desc.Digest))
			if _, err := s.Get(ref.String()); name != "layer" && !errdefs.IsDataLoss(err) {
				t.Errorf("get: got %v, want ErrDataLoss", err)
			}
			if _, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := s.content.Verify(t.Context(), desc); err != nil {
				t.Error(err)
			}
			if _, err := s.Get(ref.String()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPullWrongLayer(t *testing.T) {
	srv := newServer(t)
	img := makeImage(t, "one", "two")
	srv.push("a", "1", img)
	bad := img.layers[1]
	srv.hook = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, bad.desc.Digest.String()) {
			data := slices.Clone(bad.data)
			data[len(data)/2] ^= 1
			_, _ = w.Write(data)
			return true
		}
		return false
	}
	s, layers := newStore(t)
	_, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:1"), PullOptions{})
	var wrong *content.DigestError
	if !errors.As(err, &wrong) || wrong.Want != bad.desc.Digest || wrong.Got == "" || !strings.Contains(err.Error(), "layer 2 of 2") {
		t.Errorf("got %v, want a DigestError for layer 2", err)
	}
	if layers.Has(chainIDs([]digest.Digest{digest.FromBytes(img.tars[0]), digest.FromBytes(img.tars[1])})[1]) {
		t.Error("the wrong layer is unpacked")
	}
	if s.content.Has(bad.desc) || len(s.content.Roots()) != 0 {
		t.Error("the wrong layer is kept or the image is named")
	}
	srv.hook = nil
	if _, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:1"), PullOptions{}); err != nil {
		t.Errorf("pull again: %v", err)
	}
}

// The config names the plain tar's digest: a layer that unpacks to something
// else is refused though its blob is as the manifest says.
func TestPullWrongDiffID(t *testing.T) {
	srv := newServer(t)
	img := makeImage(t, "one")
	var config ocispec.Image
	if err := json.Unmarshal(img.config.data, &config); err != nil {
		t.Fatal(err)
	}
	config.RootFS.DiffIDs[0] = someDigest
	img.config = jsonBlob(t, ocispec.MediaTypeImageConfig, config)
	img.manifest = jsonBlob(t, ociManifest, ocispec.Manifest{MediaType: ociManifest, Config: img.config.desc, Layers: []ocispec.Descriptor{img.layers[0].desc}})
	srv.push("a", "1", img)
	s, _ := newStore(t)
	if _, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:1"), PullOptions{}); !errdefs.IsDataLoss(err) {
		t.Errorf("got %v, want ErrDataLoss", err)
	}
	if len(s.content.Roots()) != 0 {
		t.Error("the image is named")
	}
}

// Pulls of one image at a time fetch each blob once.
func TestPullsShareWork(t *testing.T) {
	srv := newServer(t)
	img := makeImage(t, "one", "two", "three", "four")
	srv.push("a", "1", img)
	var mu sync.Mutex
	gets := map[string]int{}
	srv.hook = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			mu.Lock()
			gets[r.URL.Path]++
			mu.Unlock()
		}
		return false
	}
	s, _ := newStore(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if _, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:1"), PullOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(gets) != 5 {
		t.Errorf("%d blobs fetched, want 5", len(gets))
	}
	for path, n := range gets {
		if n != 1 {
			t.Errorf("%s fetched %d times", path, n)
		}
	}
	if len(s.pins) != 0 {
		t.Errorf("pins left: %v", s.pins)
	}
}

// A pull that is killed leaves nothing that counts, and the next one goes on:
// blobs that were whole are not fetched again, and a part is gone on from.
func TestPullContinuesAfterKill(t *testing.T) {
	srv := newServer(t)
	img := makeImage(t, "one", "two")
	srv.push("a", "1", img)
	s, _ := newStore(t)
	last := img.layers[1]
	for _, b := range []blob{img.manifest, img.config, img.layers[0]} {
		if _, err := s.content.WriteBlob(t.Context(), b.desc.MediaType, b.data); err != nil {
			t.Fatal(err)
		}
	}
	part := filepath.Join(s.content.Root(), "ingest", "sha256-"+last.desc.Digest.Encoded())
	for name, left := range map[string][]byte{"good part": last.data[:20], "part that a power cut spoiled": make([]byte, 20), "all of it": last.data, "too much": make([]byte, 5000)} {
		t.Run(name, func(t *testing.T) {
			if err := errors.Join(s.content.Remove(last.desc.Digest), os.WriteFile(part, left, 0o600)); err != nil {
				t.Fatal(err)
			}
			c, err := content.Open(s.content.Root()) // berthd starts again
			if err != nil {
				t.Fatal(err)
			}
			if c.Has(last.desc) {
				t.Error("the part has the blob's name")
			}
			again := New(c, newFakeLayers(), registry.New(registry.Config{}))
			var seen []Progress
			_, err = again.Pull(t.Context(), mustRef(t, srv.host+"/a:1"), PullOptions{Progress: func(p Progress) { seen = append(seen, p) }})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range seen {
				if p.Status == StatusDownloading && p.Layer != last.desc.Digest {
					t.Errorf("fetched again: %+v", p)
				}
			}
		})
	}
}

func TestPullCancelled(t *testing.T) {
	srv := newServer(t)
	srv.push("a", "1", makeImage(t, "one"))
	ctx, cancel := context.WithCancel(t.Context())
	srv.hook = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			cancel()
			<-r.Context().Done()
		}
		return false
	}
	s, _ := newStore(t)
	if _, err := s.Pull(ctx, mustRef(t, srv.host+"/a:1"), PullOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	if len(s.pins) != 0 || len(s.content.Roots()) != 0 {
		t.Errorf("pins %v, names %v", s.pins, s.content.Roots())
	}
}

func TestPullEmbedded(t *testing.T) {
	s, _ := newStore(t)
	if _, err := s.Pull(t.Context(), mustRef(t, "toolbox"), PullOptions{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("got %v, want ErrInvalidArgument", err)
	}
}

// Docker's media types and an uncompressed layer.
func TestPullDockerSchema2(t *testing.T) {
	srv := newServer(t)
	img := makeImage(t, "one")
	img.layers[0] = newBlob(dockerLayer, img.tars[0])
	img.config.desc.MediaType = dockerConfig
	img.manifest = jsonBlob(t, dockerManifest, ocispec.Manifest{MediaType: dockerManifest, Config: img.config.desc, Layers: []ocispec.Descriptor{img.layers[0].desc}})
	srv.push("a", "1", img)
	list := jsonBlob(t, dockerIndex, ocispec.Index{MediaType: dockerIndex, Manifests: []ocispec.Descriptor{withPlatform(img.manifest.desc, mustPlatform(t, "").spec)}})
	srv.manifest("a", "list", list)
	s, _ := newStore(t)
	for _, tag := range []string{"1", "list"} {
		got, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:"+tag), PullOptions{})
		if err != nil || got.ID != img.config.desc.Digest || got.Size != int64(len(img.tars[0])) {
			t.Errorf("%s: got %+v, %v", tag, got, err)
		}
	}
}
