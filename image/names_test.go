package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// load puts an image into s under names.
func loadImage(t testing.TB, s *Store, img testImage, names ...string) Image {
	t.Helper()
	descs := []ocispec.Descriptor{img.manifest.desc}
	if len(names) > 0 {
		descs = nil
	}
	for _, n := range names {
		descs = append(descs, named(img.manifest.desc, containerdName, n))
	}
	got, err := s.Load(t.Context(), newReader(ociArchive(t, img, descs...)), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

func blobCount(t testing.TB, s *Store) int {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(s.content.Root(), "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestGet(t *testing.T) {
	s, _ := newStore(t)
	loadImage(t, s, makeImage(t, "a"), "debian:old")
	a := loadImage(t, s, makeImage(t, "a"), "debian:12", "team/app:1")
	if !slices.Equal(a.Names, []string{"debian:12", "team/app:1"}) {
		t.Errorf("load returned the names %v, want only the archive's", a.Names)
	}
	b := loadImage(t, s, makeImage(t, "b"), "debian:13")
	// A name of hexadecimal digits goes before an id that starts so.
	hex := b.ID.Encoded()[:8]
	if err := s.Tag("debian:12", hex); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]digest.Digest{
		"debian:12": a.ID, "docker.io/library/debian:12": a.ID, "team/app:1": a.ID, "debian:13": b.ID,
		a.ID.String(): a.ID, a.ID.Encoded(): a.ID, a.ID.Encoded()[:12]: a.ID, "sha256:" + a.ID.Encoded()[:12]: a.ID,
		hex: a.ID, b.ID.Encoded()[:9]: b.ID,
	} {
		if got, err := s.Get(ref); err != nil || got.ID != want {
			t.Errorf("get %q: got %s, %v; want %s", ref, got.ID, err, want)
		}
	}
	for _, ref := range []string{"debian", "debian:14", "nothing", strings.Repeat("0", 64), "sha256:" + strings.Repeat("0", 64), "debian@" + someDigest, "0123456789abcdef"} {
		_, err := s.Get(ref)
		if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), `"`+ref+`"`) || !strings.Contains(err.Error(), "pull it or check the name") {
			t.Errorf("get %q: got %v, want ErrNotFound that names it and the remedy", ref, err)
		}
	}
	for _, ref := range []string{"", "Debian", "a b"} {
		if _, err := s.Get(ref); !errdefs.IsInvalidArgument(err) {
			t.Errorf("get %q: got %v, want ErrInvalidArgument", ref, err)
		}
	}
}

func TestGetAmbiguous(t *testing.T) {
	s, _ := newStore(t)
	first := map[byte]Image{}
	for i := range 17 { // of 17 ids two start with the same digit
		img := loadImage(t, s, makeImage(t, strings.Repeat("x", i)))
		digit := img.ID.Encoded()[0]
		other, ok := first[digit]
		if !ok {
			first[digit] = img
			continue
		}
		_, err := s.Get(string(digit))
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "ambiguous") || !strings.Contains(err.Error(), other.ID.Encoded()[:12]) {
			t.Errorf("got %v, want an error that names both", err)
		}
		return
	}
}

func TestTagMovesNames(t *testing.T) {
	s, _ := newStore(t)
	a := loadImage(t, s, makeImage(t, "a"), "debian:12")
	b := loadImage(t, s, makeImage(t, "b"), "debian:13")
	if err := s.Tag(b.ID.String(), "debian:12"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get("debian:12"); err != nil || got.ID != b.ID || !slices.Equal(got.Names, []string{"debian:12", "debian:13"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	// The image that lost its last name stays.
	if got, err := s.Get(a.ID.String()); err != nil || len(got.Names) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	list, err := s.List()
	if err != nil || len(list) != 2 {
		t.Errorf("list: %v, %v", list, err)
	}
	if err := s.Tag(a.ID.String(), "a:1"); err != nil {
		t.Fatal(err)
	}
	if n := len(s.content.Roots()); n != 3 {
		t.Errorf("%d descriptors, want 3: the nameless one goes when there is a name", n)
	}
	for target, class := range map[string]func(error) bool{"A": errdefs.IsInvalidArgument, "a@" + someDigest: errdefs.IsInvalidArgument} {
		if err := s.Tag("a:1", target); !class(err) {
			t.Errorf("tag %q: %v", target, err)
		}
	}
	if err := s.Tag("nothing", "b:1"); !errdefs.IsNotFound(err) {
		t.Errorf("tag of nothing: %v", err)
	}
}

func TestListNewestFirst(t *testing.T) {
	s, _ := newStore(t)
	loadImage(t, s, makeImage(t, "a"), "one:1")
	loadImage(t, s, makeImage(t, "a", "b", "c"), "three:1") // made later, says its config
	loadImage(t, s, makeImage(t, "a", "b"), "two:1")
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Names...)
	}
	if diff := cmp.Diff([]string{"three:1", "two:1", "one:1"}, names); diff != "" {
		t.Error(diff)
	}
	// A damaged image does not hide the others.
	flipByte(t, blobPath(s, list[0].ID))
	if list, err := s.List(); !errdefs.IsDataLoss(err) || len(list) != 2 {
		t.Errorf("got %d images, %v; want 2 and ErrDataLoss", len(list), err)
	}
}

func TestRemove(t *testing.T) {
	use := func(ids ...digest.Digest) func(digest.Digest) bool {
		return func(d digest.Digest) bool { return slices.Contains(ids, d) }
	}
	cases := []struct {
		name   string
		ref    string // "ID" is the image's id
		names  []string
		force  bool
		used   bool
		class  func(error) bool
		left   []string
		delete bool
	}{
		{"by name, others left", "a:1", []string{"a:1", "a:2"}, false, false, nil, []string{"a:2"}, false},
		{"by last name", "a:1", []string{"a:1"}, false, false, nil, nil, true},
		{"by id, one name", "ID", []string{"a:1"}, false, false, nil, nil, true},
		{"by id, names in one repository", "ID", []string{"a:1", "a:2"}, false, false, nil, nil, true},
		{"by id, several repositories", "ID", []string{"a:1", "b:1"}, false, false, errdefs.IsConflict, []string{"a:1", "b:1"}, false},
		{"by id, several repositories, force", "ID", []string{"a:1", "b:1"}, true, false, nil, nil, true},
		{"nameless", "ID", nil, false, false, nil, nil, true},
		{"in use", "a:1", []string{"a:1"}, false, true, errdefs.IsConflict, []string{"a:1"}, false},
		{"in use, not the last name", "a:1", []string{"a:1", "a:2"}, false, true, nil, []string{"a:2"}, false},
		{"in use, force", "a:1", []string{"a:1"}, true, true, nil, nil, true},
		{"unknown", "b:1", []string{"a:1"}, false, false, errdefs.IsNotFound, []string{"a:1"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, layers := newStore(t)
			img := loadImage(t, s, makeImage(t, "shared", "own"), c.names...)
			other := loadImage(t, s, makeImage(t, "shared"), "other:1")
			ref := c.ref
			if ref == "ID" {
				ref = img.ID.String()
			}
			opts := RemoveOptions{Force: c.force}
			if c.used {
				opts.InUse = use(img.ID, img.Chain[0], img.Chain[1])
			}
			got, err := s.Remove(t.Context(), ref, opts)
			if c.class == nil && err != nil || c.class != nil && !c.class(err) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if (got.Deleted == img.ID) != c.delete {
				t.Errorf("deleted %q, want %v", got.Deleted, c.delete)
			}
			left, err := s.Get(img.ID.String())
			if (err != nil) != c.delete || !slices.Equal(left.Names, c.left) {
				t.Errorf("left: %v, %v; want %v", left.Names, err, c.left)
			}
			if _, err := s.Get("other:1"); err != nil {
				t.Error(err)
			}
			if !layers.Has(other.Chain[0]) {
				t.Error("the shared layer is gone")
			}
			if want := !c.delete || c.used; layers.Has(img.Chain[1]) != want {
				t.Errorf("own layer there: %v, want %v", !want, want)
			}
			want := 3 // the other image's manifest, config, layer
			if !c.delete {
				want = 6
			}
			if n := blobCount(t, s); n != want {
				t.Errorf("%d blobs left, want %d", n, want)
			}
			if c.used && c.delete { // the container goes later
				if _, err := s.Sweep(t.Context(), nil); err != nil || layers.Has(img.Chain[1]) {
					t.Errorf("sweep: %v, layer there: %v", err, layers.Has(img.Chain[1]))
				}
			}
		})
	}
}

// A pulled image's digest reference goes with the last tag of its repository.
func TestRemovePulled(t *testing.T) {
	srv := newServer(t)
	srv.push("a", "1", makeImage(t, "one"))
	s, _ := newStore(t)
	img, err := s.Pull(t.Context(), mustRef(t, srv.host+"/a:1"), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Remove(t.Context(), img.Names[0], RemoveOptions{})
	if err != nil || got.Deleted != img.ID || !slices.Equal(got.Untagged, []string{img.Names[0], img.Digests[0]}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if n := blobCount(t, s); n != 0 || len(s.content.Roots()) != 0 {
		t.Errorf("%d blobs, roots %v left", n, s.content.Roots())
	}
}

// A tag that moved leaves the old image without a name, found by its digest.
func TestPullMovedTag(t *testing.T) {
	srv := newServer(t)
	srv.push("a", "1", makeImage(t, "old"))
	s, _ := newStore(t)
	ref := mustRef(t, srv.host+"/a:1")
	old, err := s.Pull(t.Context(), ref, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	srv.push("a", "1", makeImage(t, "new"))
	img, err := s.Pull(t.Context(), ref, PullOptions{})
	if err != nil || img.ID == old.ID {
		t.Fatalf("got %s, %v", img.ID, err)
	}
	if got, err := s.Get(old.Digests[0]); err != nil || got.ID != old.ID || len(got.Names) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A damaged image can be removed, and does not keep others from it.
func TestRemoveDamaged(t *testing.T) {
	for _, part := range []string{"manifest", "config"} {
		t.Run(part, func(t *testing.T) {
			s, _ := newStore(t)
			img := makeImage(t, "one")
			loadImage(t, s, img, "a:1")
			d := img.manifest.desc.Digest
			if part == "config" {
				d = img.config.desc.Digest
			}
			flipByte(t, blobPath(s, d))
			if _, err := s.Get("a:1"); !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), "a:1 is damaged") {
				t.Errorf("get: got %v, want ErrDataLoss that names the image", err)
			}
			if _, err := s.Remove(t.Context(), "a:1", RemoveOptions{}); err != nil {
				t.Error(err)
			}
			if n := blobCount(t, s); n != 0 {
				t.Errorf("%d blobs left", n)
			}
		})
	}
}

// What a pull under way has brought is not swept.
func TestSweepLeavesPinned(t *testing.T) {
	s, layers := newStore(t)
	img := loadImage(t, s, makeImage(t, "one"), "a:1")
	pins := pinned{store: s}
	pins.pin(img.ID, img.Manifest.Digest, img.Layers[0].Digest, img.Chain[0])
	if _, err := s.Remove(t.Context(), "a:1", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := blobCount(t, s); n != 3 || !layers.Has(img.Chain[0]) {
		t.Errorf("%d blobs, layer there: %v; want 3 and true", n, layers.Has(img.Chain[0]))
	}
	pins.release()
	if _, err := s.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := blobCount(t, s); n != 0 || layers.Has(img.Chain[0]) {
		t.Errorf("%d blobs, layer there: %v; want none", n, layers.Has(img.Chain[0]))
	}
}
