package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/content"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// file is an entry of an archive: a link if target is set.
type file struct {
	name   string
	data   []byte
	target string
}

func makeArchive(t testing.TB, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		hdr := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o644}
		if f.target != "" {
			hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, f.target
		}
		if err := w.WriteHeader(hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func jsonFile(t testing.TB, name string, v any) file {
	t.Helper()
	return file{name: name, data: jsonBlob(t, "", v).data}
}

func blobFile(b blob) file { return file{name: blobName(b.desc.Digest), data: b.data} }

func blobFiles(img testImage) []file {
	files := []file{blobFile(img.config), blobFile(img.manifest)}
	for _, l := range img.layers {
		files = append(files, blobFile(l))
	}
	return files
}

func named(d ocispec.Descriptor, key, name string) ocispec.Descriptor {
	d.Annotations = map[string]string{key: name}
	return d
}

// ociArchive is what skopeo or buildah write.
func ociArchive(t testing.TB, img testImage, descs ...ocispec.Descriptor) []byte {
	files := append([]file{jsonFile(t, "oci-layout", ocispec.ImageLayout{Version: "1.0.0"})}, blobFiles(img)...)
	return makeArchive(t, append(files, jsonFile(t, "index.json", ocispec.Index{Manifests: descs}))...)
}

// dockerArchive is what docker save wrote before version 25: the second layer
// is a link to the first, as docker writes for equal layers.
func dockerArchive(t testing.TB, img testImage, tags ...string) []byte {
	name := img.config.desc.Digest.Encoded() + ".json"
	return makeArchive(t,
		file{name: "aaa/layer.tar", data: img.tars[0]},
		file{name: "aaa/VERSION", data: []byte("1.0")},
		file{name: "bbb/layer.tar", target: "../aaa/layer.tar"},
		file{name: name, data: img.config.data},
		jsonFile(t, "repositories", map[string]any{"debian": map[string]string{"12": "bbb"}}),
		jsonFile(t, "manifest.json", []dockerArchiveImage{{Config: name, RepoTags: tags, Layers: []string{"aaa/layer.tar", "bbb/layer.tar"}}}),
	)
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func TestLoad(t *testing.T) {
	img := makeImage(t, "same", "same")
	oci := ociArchive(t, img, named(img.manifest.desc, ocispec.AnnotationRefName, "debian:12"))
	combined := makeArchive(t, append(blobFiles(img)[0:3],
		jsonFile(t, "index.json", ocispec.Index{Manifests: []ocispec.Descriptor{{
			MediaType: img.manifest.desc.MediaType, Digest: img.manifest.desc.Digest, Size: img.manifest.desc.Size,
			Annotations: map[string]string{containerdName: "docker.io/library/debian:12", ocispec.AnnotationRefName: "12"},
		}}}),
		jsonFile(t, "manifest.json", []dockerArchiveImage{{Config: blobName(img.config.desc.Digest), RepoTags: []string{"debian:12"}, Layers: []string{blobName(img.layers[0].desc.Digest), blobName(img.layers[1].desc.Digest)}}}),
		jsonFile(t, "oci-layout", ocispec.ImageLayout{Version: "1.0.0"}))...)
	cases := []struct {
		name  string
		data  []byte
		names []string
	}{
		{"OCI layout", oci, []string{"debian:12"}},
		{"OCI layout, gzip", gzipped(t, oci), []string{"debian:12"}},
		{"OCI layout, zstd", zstded(t, oci), []string{"debian:12"}},
		{"OCI layout, only a tag", ociArchive(t, img, named(img.manifest.desc, ocispec.AnnotationRefName, "12")), nil},
		{"OCI layout, two names", ociArchive(t, img, named(img.manifest.desc, containerdName, "docker.io/library/debian:12"), named(img.manifest.desc, ocispec.AnnotationRefName, "a.example/b:c")), []string{"a.example/b:c", "debian:12"}},
		{"docker save", dockerArchive(t, img, "debian:12", "debian:bookworm"), []string{"debian:12", "debian:bookworm"}},
		{"docker save, gzip", gzipped(t, dockerArchive(t, img, "debian:12")), []string{"debian:12"}},
		{"docker save, no name", dockerArchive(t, img), nil},
		{"docker save 25", combined, []string{"debian:12"}},
		{"the embedded image", ociArchive(t, img, named(img.manifest.desc, ocispec.AnnotationRefName, "toolbox:latest")), []string{"toolbox:latest"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, layers := newStore(t)
			got, err := s.Load(t.Context(), newReader(c.data), LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].ID != img.config.desc.Digest {
				t.Fatalf("got %+v, want one image %s", got, img.config.desc.Digest)
			}
			if diff := cmp.Diff(c.names, got[0].Names); diff != "" {
				t.Error("names", diff)
			}
			if layers.calls != 2 {
				t.Errorf("%d layers unpacked, want 2", layers.calls)
			}
			if again, err := s.Get(got[0].ID.Encoded()[:12]); err != nil || again.ID != got[0].ID {
				t.Errorf("get: %v, %v", again.ID, err)
			}
			checkClean(t, s)
			if _, err := s.Load(t.Context(), newReader(c.data), LoadOptions{}); err != nil {
				t.Errorf("load again: %v", err)
			}
			checkClean(t, s)
		})
	}
}

// checkClean fails if anything unfinished or pinned is left.
func checkClean(t testing.TB, s *Store) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(s.content.Root(), "ingest"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in ingest: %v, %v", left, err)
	}
	if len(s.pins) != 0 {
		t.Errorf("left pins: %v", s.pins)
	}
}

func TestLoadPlatform(t *testing.T) {
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	imgHere, imgArm := makeImage(t, "here"), makeImageFor(t, arm, "arm")
	index := jsonBlob(t, ociIndex, ocispec.Index{MediaType: ociIndex, Manifests: []ocispec.Descriptor{
		withPlatform(imgArm.manifest.desc, arm), withPlatform(imgHere.manifest.desc, mustPlatform(t, "").spec),
	}})
	both := makeArchive(t, slices.Concat(blobFiles(imgHere), blobFiles(imgArm), []file{
		blobFile(index),
		jsonFile(t, "index.json", ocispec.Index{Manifests: []ocispec.Descriptor{named(index.desc, ocispec.AnnotationRefName, "a:1")}}),
	})...)
	armOnly := ociArchive(t, imgArm, withPlatform(imgArm.manifest.desc, arm))
	for _, c := range []struct {
		name, platform string
		data           []byte
		want           digest.Digest
	}{
		{"this machine's", "", both, imgHere.config.desc.Digest},
		{"named", "linux/arm64", both, imgArm.config.desc.Digest},
		{"none fits", "linux/s390x", both, ""},
		{"the only one", "", armOnly, imgArm.config.desc.Digest},
		{"the only one does not fit", "linux/s390x", armOnly, ""},
		{"docker save for another platform", "linux/s390x", dockerArchive(t, makeImage(t, "x", "x")), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newStore(t)
			got, err := s.Load(t.Context(), newReader(c.data), LoadOptions{Platform: c.platform})
			switch {
			case c.want == "" && !errdefs.IsNotFound(err):
				t.Errorf("got %v, want ErrNotFound", err)
			case c.want != "" && (err != nil || len(got) != 1 || got[0].ID != c.want):
				t.Errorf("got %+v, %v; want %s", got, err, c.want)
			}
			checkClean(t, s)
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	img := makeImage(t, "same", "same")
	wrong := makeImage(t, "one", "two")
	wrongRef := named(wrong.manifest.desc, ocispec.AnnotationRefName, "debian:12")
	wrong.layers = slices.Clone(wrong.layers)
	wrong.layers[1].data = append(slices.Clone(wrong.layers[1].data), 0)
	bigJSON := file{name: "index.json", data: make([]byte, maxManifest+1)}
	var many []file
	for i := range maxArchiveEntries + 1 {
		many = append(many, file{name: fmt.Sprint(i), target: "x"})
	}
	ref := named(img.manifest.desc, ocispec.AnnotationRefName, "debian:12")
	cases := []struct {
		name string
		data []byte
		text string
	}{
		{"empty", nil, "neither index.json"},
		{"not a tar", bytes.Repeat([]byte("x"), 2000), "not an image archive"},
		{"a tar of something else", makeArchive(t, file{name: "etc/passwd"}), "neither index.json"},
		{"cut short", dockerArchive(t, img)[:1500], ""},
		{"gzip cut short", gzipped(t, dockerArchive(t, img))[:200], ""},
		{"xz", []byte("\xfd7zXZ\x00\x00\x00"), "xz"},
		{"layer is not what its name says", ociArchive(t, wrong, wrongRef), "wrong size"},
		{"blob missing", makeArchive(t, blobFile(img.manifest), jsonFile(t, "index.json", ocispec.Index{Manifests: []ocispec.Descriptor{ref}})), "no blob"},
		{"index too large", makeArchive(t, bigJSON), "more than"},
		{"too many entries", makeArchive(t, many...), "more than 10000 entries"},
		{"entry twice", makeArchive(t, file{name: "a"}, file{name: "./x/../a", data: []byte("b")}), "twice"},
		{"no images", makeArchive(t, jsonFile(t, "index.json", ocispec.Index{})), "no image"},
		{"no images in manifest.json", makeArchive(t, jsonFile(t, "manifest.json", []dockerArchiveImage{})), "0 images"},
		{"layer path leaves the archive", makeArchive(t, file{name: "c.json", data: img.config.data}, jsonFile(t, "manifest.json", []dockerArchiveImage{{Config: "c.json", Layers: []string{"../../../etc/passwd"}}})), "not there"},
		{"links in a circle", makeArchive(t, file{name: "a", target: "b"}, file{name: "b", target: "a"}, jsonFile(t, "manifest.json", []dockerArchiveImage{{Config: "a"}})), "not there"},
		{"link to the host", makeArchive(t, file{name: "a", target: "/etc/passwd"}, jsonFile(t, "manifest.json", []dockerArchiveImage{{Config: "a"}})), "not there"},
		{"bad name", ociArchive(t, img, named(img.manifest.desc, ocispec.AnnotationRefName, "Debian:12")), "reference"},
		{"too few layers", makeArchive(t, file{name: "c.json", data: img.config.data}, jsonFile(t, "manifest.json", []dockerArchiveImage{{Config: "c.json"}})), "lists 2 layers"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, layers := newStore(t)
			got, err := s.Load(t.Context(), newReader(c.data), LoadOptions{})
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, %v; want an error with %q", got, err, c.text)
			}
			if !errdefs.IsInvalidArgument(err) && !errdefs.IsNotFound(err) && !errdefs.IsDataLoss(err) {
				t.Errorf("class of %v", err)
			}
			if len(s.content.Roots()) != 0 || layers.calls != 0 {
				t.Errorf("names %v, %d layers; want nothing", s.content.Roots(), layers.calls)
			}
			checkClean(t, s)
		})
	}
	t.Run("a sparse file", func(t *testing.T) {
		// archive/tar writes no sparse files; GNU tar does.
		path := filepath.Join(t.TempDir(), "manifest.json")
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<20)); err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"gnu", "posix"} {
			data, err := exec.Command("tar", "-C", filepath.Dir(path), "--sparse", "--format="+format, "-cf", "-", "manifest.json").Output()
			if err != nil {
				t.Fatal(err)
			}
			s, _ := newStore(t)
			if _, err := s.Load(t.Context(), newReader(data), LoadOptions{}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "manifest.json") || strings.Contains(err.Error(), "JSON") {
				t.Errorf("%s: got %v", format, err)
			}
		}
	})
	t.Run("a device", func(t *testing.T) {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeBlock, Name: "sda"}), w.Close()); err != nil {
			t.Fatal(err)
		}
		s, _ := newStore(t)
		if _, err := s.Load(t.Context(), &buf, LoadOptions{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a file larger than the disk", func(t *testing.T) {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1 << 50, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		s, _ := newStore(t)
		if _, err := s.Load(t.Context(), io.MultiReader(&buf, neverEnds{}), LoadOptions{}); !errdefs.IsResourceExhausted(err) {
			t.Errorf("got %v, want ErrResourceExhausted", err)
		}
		checkClean(t, s)
	})
}

// neverEnds is a reader of zeros.
type neverEnds struct{}

func (neverEnds) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestSaveAndLoad(t *testing.T) {
	img, other := makeImage(t, "one", "two"), makeImage(t, "one")
	s, _ := newStore(t)
	for _, i := range []struct {
		img  testImage
		name string
	}{{img, "debian:12"}, {other, "a.example/b:c"}} {
		if _, err := s.Load(t.Context(), newReader(ociArchive(t, i.img, named(i.img.manifest.desc, ocispec.AnnotationRefName, i.name))), LoadOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Tag("debian:12", "debian:bookworm"); err != nil {
		t.Fatal(err)
	}
	save := func() []byte {
		var buf bytes.Buffer
		if err := s.Save(t.Context(), []string{"debian:12", "debian:bookworm", other.config.desc.Digest.String()}, &buf); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	saved := save()
	if !bytes.Equal(saved, save()) {
		t.Error("the same images gave other bytes")
	}
	without := func(name string) []byte { // the archive as readers of the other format see it
		var files []file
		tr := tar.NewReader(newReader(saved))
		for {
			hdr, err := tr.Next()
			if errors.Is(err, io.EOF) {
				return makeArchive(t, files...)
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			if hdr.Name != name {
				files = append(files, file{name: hdr.Name, data: data})
			}
		}
	}
	for format, data := range map[string][]byte{"both": saved, "OCI": without("manifest.json"), "docker": without("index.json")} {
		t.Run(format, func(t *testing.T) {
			fresh, _ := newStore(t)
			if _, err := fresh.Load(t.Context(), newReader(data), LoadOptions{}); err != nil {
				t.Fatal(err)
			}
			got, err := fresh.Get("debian:bookworm")
			if err != nil || got.ID != img.config.desc.Digest || !slices.Equal(got.Names, []string{"debian:12", "debian:bookworm"}) {
				t.Errorf("got %+v, %v", got, err)
			}
			if got, err = fresh.Get(other.config.desc.Digest.String()); err != nil || len(got.Names) != 0 {
				t.Errorf("saved by id: got %+v, %v; want no name", got.Names, err)
			}
		})
	}
	flipByte(t, blobPath(s, img.layers[0].desc.Digest))
	if err := s.Save(t.Context(), []string{"debian:12"}, io.Discard); !errdefs.IsDataLoss(err) {
		t.Errorf("damaged layer: got %v, want ErrDataLoss", err)
	}
}

func FuzzLoad(f *testing.F) {
	img := makeImage(f, "same", "same")
	f.Add(dockerArchive(f, img, "debian:12"))
	f.Add(ociArchive(f, img, named(img.manifest.desc, ocispec.AnnotationRefName, "debian:12")))
	f.Add(gzipped(f, dockerArchive(f, img)))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := content.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		s := New(c, newFakeLayers(), nil)
		images, err := s.Load(t.Context(), newReader(data), LoadOptions{})
		if err == nil && len(images) == 0 {
			t.Error("no image and no error")
		}
		for _, img := range images {
			if _, err := s.Get(img.ID.String()); err != nil {
				t.Errorf("loaded, but: %v", err)
			}
		}
		checkClean(t, s)
	})
}
