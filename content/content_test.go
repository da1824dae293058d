package content

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func open(t testing.TB, root string) *Store {
	t.Helper()
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func descriptor(data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "text/plain", Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// ingest writes data as desc and returns the error of the first step that fails.
func ingest(t testing.TB, s *Store, desc ocispec.Descriptor, data []byte) error {
	t.Helper()
	w, err := s.Ingest(t.Context(), desc)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit()
}

func entries(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestIngest(t *testing.T) {
	data := []byte("some bytes")
	desc := descriptor(data)
	long := desc
	long.Size++
	cases := []struct {
		name  string
		desc  ocispec.Descriptor
		data  []byte
		wrong bool
	}{
		{"right", desc, data, false},
		{"flipped byte", desc, []byte("some bytEs"), true},
		{"too long", desc, []byte("some bytes!"), true},
		{"too short", desc, []byte("some byte"), true},
		{"size of the descriptor is a lie", long, data, true},
		{"empty", descriptor(nil), nil, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			err := ingest(t, s, c.desc, c.data)
			var wrong *DigestError
			if errors.As(err, &wrong) != c.wrong || (err != nil) != c.wrong {
				t.Fatalf("got error %v, want a DigestError: %v", err, c.wrong)
			}
			if s.Has(c.desc) == c.wrong {
				t.Errorf("blob is there: %v", !c.wrong)
			}
			if c.wrong {
				if !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), c.desc.Digest.String()) {
					t.Errorf("error %q is no data loss or does not name the blob", err)
				}
				if names := entries(t, filepath.Join(s.root, "blobs", "sha256")); len(names) != 0 {
					t.Errorf("blobs: %v, want none", names)
				}
				return
			}
			got, err := s.ReadBlob(c.desc, 100)
			if err != nil || !bytes.Equal(got, c.data) {
				t.Errorf("read %q, %v; want %q", got, err, c.data)
			}
			if err := ingest(t, s, c.desc, c.data); !errdefs.IsAlreadyExists(err) {
				t.Errorf("second ingest: %v, want ErrAlreadyExists", err)
			}
			if names := entries(t, filepath.Join(s.root, "ingest")); len(names) != 0 {
				t.Errorf("ingest: %v, want none", names)
			}
		})
	}
}

// A process killed in an ingest leaves bytes that the next one goes on from,
// and nothing under the blob's name.
func TestIngestResumes(t *testing.T) {
	root := t.TempDir()
	data := []byte("a long blob")
	desc := descriptor(data)
	w, err := open(t, root).Ingest(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data[:4]); err != nil {
		t.Fatal(err)
	}
	// No Close: the process is gone. What it left is read by a new one.
	if err := os.WriteFile(filepath.Join(root, "ingest", "spool-1"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, root)
	if s.Has(desc) {
		t.Error("unfinished blob has its name")
	}
	if names := entries(t, filepath.Join(root, "ingest")); len(names) != 1 {
		t.Errorf("ingest: %v, want only the resumable one", names)
	}
	w, err = s.Ingest(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if w.Offset() != 4 {
		t.Fatalf("offset %d, want 4", w.Offset())
	}
	if _, err := w.Write(data[4:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Error(err)
	}
}

func TestOpenCleansOldIngests(t *testing.T) {
	root := t.TempDir()
	open(t, root)
	path := filepath.Join(root, "ingest", "sha256-"+digest.FromString("x").Encoded())
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * ingestKeep)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	open(t, root)
	if names := entries(t, filepath.Join(root, "ingest")); len(names) != 0 {
		t.Errorf("ingest: %v, want none", names)
	}
}

// Writers of one digest come one after the other; one writes, the others find
// the blob.
func TestIngestIsShared(t *testing.T) {
	s := open(t, t.TempDir())
	data := bytes.Repeat([]byte("x"), 1<<20)
	desc := descriptor(data)
	var wrote, found int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := ingest(t, s, desc, data)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				wrote++
			case errdefs.IsAlreadyExists(err):
				found++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if wrote != 1 || found != 7 {
		t.Errorf("%d wrote, %d found; want 1 and 7", wrote, found)
	}
}

func TestIngestWaitsUnderContext(t *testing.T) {
	s := open(t, t.TempDir())
	desc := descriptor([]byte("x"))
	w, err := s.Ingest(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Ingest(ctx, desc); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestTooLittleSpace(t *testing.T) {
	s := open(t, t.TempDir())
	desc := descriptor([]byte("x"))
	desc.Size = 1 << 60
	if _, err := s.Ingest(t.Context(), desc); !errdefs.IsResourceExhausted(err) {
		t.Errorf("ingest: got %v, want ErrResourceExhausted", err)
	}
	if _, err := s.Spool(t.Context(), strings.NewReader("x"), 1<<60); !errdefs.IsResourceExhausted(err) {
		t.Errorf("spool: got %v, want ErrResourceExhausted", err)
	}
	if names := entries(t, filepath.Join(s.root, "ingest")); len(names) != 0 {
		t.Errorf("ingest: %v, want none", names)
	}
}

func TestVerifyFindsFlippedByte(t *testing.T) {
	s := open(t, t.TempDir())
	data := []byte("some bytes")
	desc := descriptor(data)
	if err := ingest(t, s, desc, data); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), desc); err != nil {
		t.Fatal(err)
	}
	flip(t, s, desc.Digest)
	if err := s.Verify(t.Context(), desc); !errdefs.IsDataLoss(err) {
		t.Errorf("verify: got %v, want ErrDataLoss", err)
	}
	if _, err := s.ReadBlob(desc, 100); !errdefs.IsDataLoss(err) {
		t.Errorf("read: got %v, want ErrDataLoss", err)
	}
	if err := errors.Join(s.Remove(desc.Digest), ingest(t, s, desc, data), s.Verify(t.Context(), desc)); err != nil {
		t.Errorf("heal: %v", err)
	}
}

func flip(t testing.TB, s *Store, d digest.Digest) {
	t.Helper()
	path := s.blobPath(d)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestBadDigests(t *testing.T) {
	s := open(t, t.TempDir())
	for _, d := range []digest.Digest{"", "sha256:", "sha256:../../../etc/passwd", "sha512:" + digest.Digest(strings.Repeat("a", 128)), "sha256:" + digest.Digest(strings.Repeat("A", 64)), digest.Digest(strings.Repeat("x", 5000))} {
		if _, err := s.Reader(d); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%.40q: got %v, want ErrInvalidArgument", d, err)
		} else if len(err.Error()) > 400 {
			t.Errorf("%.40q: message of %d bytes", d, len(err.Error()))
		}
	}
	if _, err := s.ReadBlob(descriptor([]byte("not there")), 100); !errdefs.IsNotFound(err) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if _, err := s.ReadBlob(descriptor(make([]byte, 101)), 100); !errdefs.IsInvalidArgument(err) {
		t.Errorf("over the limit: got %v, want ErrInvalidArgument", err)
	}
}

func TestSpool(t *testing.T) {
	s := open(t, t.TempDir())
	p, err := s.Spool(t.Context(), strings.NewReader("some bytes"), 10)
	if err != nil {
		t.Fatal(err)
	}
	if p.Descriptor().Digest != digest.FromString("some bytes") {
		t.Error("wrong digest")
	}
	for range 2 { // twice is no error, and the bytes can be read all the time
		r, err := p.Reader()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || string(data) != "some bytes" {
			t.Errorf("read %q, %v", data, err)
		}
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Discard(); err != nil || !s.Has(p.Descriptor()) {
		t.Errorf("discard after commit: %v, blob there: %v", err, s.Has(p.Descriptor()))
	}
	if _, err := s.Spool(t.Context(), strings.NewReader("short"), 10); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short: got %v", err)
	}
	if names := entries(t, filepath.Join(s.root, "ingest")); len(names) != 0 {
		t.Errorf("ingest: %v, want none", names)
	}
}

func TestUpdateIsDurableAndAllOrNothing(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	desc := descriptor([]byte("x"))
	add := func(roots []ocispec.Descriptor) ([]ocispec.Descriptor, error) { return append(roots, desc), nil }
	if err := s.Update(add); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("no")
	err := s.Update(func(r []ocispec.Descriptor) ([]ocispec.Descriptor, error) { return nil, refused })
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	for name, s := range map[string]*Store{"same": s, "reopened": open(t, root)} {
		if roots := s.Roots(); len(roots) != 1 || roots[0].Digest != desc.Digest {
			t.Errorf("%s: roots %v", name, roots)
		}
	}
	var index ocispec.Index
	if err := readJSON(filepath.Join(root, "index.json"), 1<<20, &index); err != nil || index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("index.json: %+v, %v", index, err)
	}
}

func TestOpenRefusesDamagedIndex(t *testing.T) {
	for _, file := range []string{"index.json", "oci-layout"} {
		root := t.TempDir()
		open(t, root)
		if err := os.WriteFile(filepath.Join(root, file), []byte(`{"imageLayoutVersion":"2.0"`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(root); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want an error that names it", file, err)
		}
	}
}

func write(t testing.TB, s *Store, mediaType string, v any) ocispec.Descriptor {
	t.Helper()
	data, ok := v.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
	desc, err := s.WriteBlob(t.Context(), mediaType, data)
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

func TestSweep(t *testing.T) {
	s := open(t, t.TempDir())
	layer := write(t, s, ocispec.MediaTypeImageLayer, []byte("layer"))
	config := write(t, s, ocispec.MediaTypeImageConfig, []byte("config"))
	manifest := write(t, s, ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer}})
	// An image that calls the other's manifest its layer must not hide it.
	disguise := manifest
	disguise.MediaType = ocispec.MediaTypeImageLayer
	other := write(t, s, ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{disguise}})
	absent := descriptor([]byte("another platform"))
	absent.MediaType = ocispec.MediaTypeImageManifest
	index := write(t, s, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{other, manifest, absent}})
	pinned := write(t, s, "text/plain", []byte("pinned"))
	orphan := write(t, s, "text/plain", []byte("orphan"))
	set := func(roots ...ocispec.Descriptor) {
		t.Helper()
		if err := s.Update(func([]ocispec.Descriptor) ([]ocispec.Descriptor, error) { return roots, nil }); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(d digest.Digest) bool { return d == pinned.Digest }
	set(index)
	freed, err := s.Sweep(keep)
	if err != nil || freed != orphan.Size {
		t.Errorf("freed %d, %v; want %d", freed, err, orphan.Size)
	}
	for _, d := range []ocispec.Descriptor{layer, config, manifest, other, index, pinned} {
		if !s.Has(d) {
			t.Errorf("%s (%s) is gone", d.Digest, d.MediaType)
		}
	}
	flip(t, s, manifest.Digest)
	set(manifest)
	if _, err := s.Sweep(keep); !errdefs.IsDataLoss(err) || !s.Has(layer) {
		t.Errorf("damaged manifest: got %v, layer there: %v; want an error and nothing deleted", err, s.Has(layer))
	}
	set()
	if _, err := s.Sweep(func(digest.Digest) bool { return false }); err != nil {
		t.Error(err)
	}
	if names := entries(t, filepath.Join(s.root, "blobs", "sha256")); len(names) != 0 {
		t.Errorf("left over: %v", names)
	}
}

func FuzzOpenIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:00","size":3}]}`))
	f.Add([]byte(`{"manifests":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "index.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(root)
		if err != nil {
			return
		}
		before := len(s.Roots())
		if _, err := s.Sweep(func(digest.Digest) bool { return false }); err != nil {
			return
		}
		if len(s.Roots()) != before {
			t.Error("a sweep changed the index")
		}
	})
}
