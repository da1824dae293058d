package testsuite

import (
	"archive/tar"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"
	"berth/snapshot"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// prepare makes and mounts a container's union.
func prepare(t *testing.T, s snapshot.Unions, container string, chain []digest.Digest) *os.File {
	t.Helper()
	o, err := s.Prepare(t.Context(), container, chain)
	if err != nil {
		t.Fatal(err)
	}
	return Mount(t, o)
}

func view(t *testing.T, s snapshot.Unions, chain []digest.Digest) *os.File {
	t.Helper()
	o, err := s.View(chain)
	if err != nil {
		t.Fatal(err)
	}
	return Mount(t, o)
}

func testUnion(t *testing.T, s snapshot.Snapshotter) {
	chain := UnpackAll(t, s, Stack(t,
		[]tar.Header{
			Dir(".", 0o755), File("kept", "1"), File("changed", "1"), File("gone", "1"), Dir("dir", 0o755), File("dir/gone", "1"), File("dir/kept", "1"),
			Dir("opaque", 0o755), File("opaque/below", "1"), Dir("again", 0o755), File("again/below", "1"), File("tofile/below", "1"), File("todir", "1"),
		},
		[]tar.Header{
			File("changed", "2"), File(".wh.gone", ""), File("dir/.wh.gone", ""), File("opaque/.wh..wh..opq", ""), File("opaque/above", "2"),
			File(".wh.again", ""), Dir("again", 0o755), File("again/above", "2"), File("tofile", "2"), File("todir/above", "2"),
		},
		[]tar.Header{File("dir/.wh.absent", ""), File("gone2/x", "3")}))
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*os.File{"view": view(t, s, chain), "container": prepare(t, s, "c1", chain)} {
		for file, want := range map[string]string{
			"kept": "1", "changed": "2", "gone": "absent", "dir/gone": "absent", "dir/kept": "1", "opaque/below": "absent", "opaque/above": "2",
			"again/below": "absent", "again/above": "2", "tofile": "2", "todir/above": "2", "gone2/x": "3", "dir/absent": "absent",
		} {
			if got := Read(t, m, file); got != want {
				t.Errorf("%s: %s: got %q, want %q", name, file, got, want)
			}
		}
	}
	if after, err := os.ReadFile("/proc/self/mountinfo"); err != nil || string(after) != string(before) {
		t.Error("a union is seen in the host's mount table")
	}
	if err := write(view(t, s, chain), "kept", "x"); !errors.Is(err, syscall.EROFS) {
		t.Errorf("write to a view: %v", err)
	}
}

func testCopyOnWrite(t *testing.T, s snapshot.Snapshotter) {
	chain := UnpackAll(t, s, Stack(t, []tar.Header{File("a", "layer"), File("d/b", "layer"), File("c", "layer")}))
	one, two := prepare(t, s, "one", chain), prepare(t, s, "two", chain)
	if err := errors.Join(write(one, "a", "one"), write(one, "d/new", "one"), linux.UnlinkAt(one, "c")); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"a": "one", "d/b": "layer", "d/new": "one", "c": "absent"} {
		if got := Read(t, one, file); got != want {
			t.Errorf("the writer's %s: got %q, want %q", file, got, want)
		}
	}
	for name, m := range map[string]*os.File{"the other container": two, "the layer": view(t, s, chain)} {
		for file, want := range map[string]string{"a": "layer", "d/b": "layer", "d/new": "absent", "c": "layer"} {
			if got := Read(t, m, file); got != want {
				t.Errorf("%s's %s: got %q, want %q", name, file, got, want)
			}
		}
	}
	if err := write(one, "big", strings.Repeat("x", 1<<20)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Usage("one"); err != nil || n < 1<<20 || n > 2<<20 {
		t.Errorf("usage of the writer: %d, %v", n, err)
	}
	if n, err := s.Usage("two"); err != nil || n > 100<<10 {
		t.Errorf("usage of the other: %d, %v", n, err)
	}
}

func testPrepareAgain(t *testing.T, s snapshot.Snapshotter) {
	chain := UnpackAll(t, s, Stack(t, []tar.Header{File("a", "layer")}))
	m := prepare(t, s, "c", chain)
	if err := errors.Join(write(m, "a", "changed"), linux.Chmod(m, 0o700), m.Close()); err != nil {
		t.Fatal(err)
	}
	m = prepare(t, s, "c", chain)
	st, err := linux.StatAt(m, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := Read(t, m, "a"); got != "changed" || st.Mode&0o7777 != 0o700 {
		t.Errorf("after the second prepare: a is %q, mode %o", got, st.Mode)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Discard(t.Context(), "c"); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Usage("c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("usage after discard: %v", err)
	}
	if got := Read(t, prepare(t, s, "c", chain), "a"); got != "layer" {
		t.Errorf("after discard and prepare: a is %q", got)
	}
}

func testInherit(t *testing.T, s snapshot.Snapshotter) {
	top := Dir(".", 0o750)
	top.Uid = 7
	tmp := Dir("tmp", 0o1777)
	tmp.Gid = 70000
	chain := UnpackAll(t, s, Stack(t,
		[]tar.Header{top, tmp, Dir("tmp/private", 0o700), File("was", "file")},
		[]tar.Header{File("tmp/private/x", "1"), File("was/x", "2"), File("new/x", "3")},
		[]tar.Header{File("tmp/.wh.y", "")},
		[]tar.Header{Dir("tmp", 0o700)}))
	for _, c := range []struct {
		layers   int
		path     string
		mode     uint32
		uid, gid uint32
	}{
		{2, "", 0o750, 7, 0},
		{2, "tmp", 0o1777, 0, 70000},
		{2, "tmp/private", 0o700, 0, 0},
		{2, "was", 0o755, 0, 0},
		{2, "new", 0o755, 0, 0},
		{3, "", 0o750, 7, 0},
		{3, "tmp", 0o1777, 0, 70000},
		{4, "tmp", 0o700, 0, 0},
	} {
		for name, m := range map[string]*os.File{
			"view": view(t, s, chain[:c.layers]), "container": prepare(t, s, "c"+string(rune('0'+c.layers)), chain[:c.layers]),
		} {
			st, err := linux.StatAt(m, c.path)
			if err != nil {
				t.Fatal(err)
			}
			if st.Mode&0o7777 != c.mode || st.UID != c.uid || st.GID != c.gid {
				t.Errorf("%s of %d layers: %q has mode %o, owner %d:%d, want %o, %d:%d",
					name, c.layers, c.path, st.Mode&0o7777, st.UID, st.GID, c.mode, c.uid, c.gid)
			}
		}
	}
}

func testOpaqueRoot(t *testing.T, s snapshot.Snapshotter) {
	chain := UnpackAll(t, s, Stack(t, []tar.Header{File("below", "1")}, []tar.Header{File(".wh..wh..opq", ""), File("above", "2")}, []tar.Header{File("top", "3")}))
	for name, m := range map[string]*os.File{"view": view(t, s, chain), "container": prepare(t, s, "c", chain)} {
		if Read(t, m, "below") != "absent" || Read(t, m, "above") != "2" || Read(t, m, "top") != "3" {
			t.Errorf("%s: what is below an opaque root shows, or what is above does not", name)
		}
	}
}

func testNumbers(t *testing.T, s snapshot.Snapshotter) {
	many := make([][]tar.Header, 60)
	for i := range many {
		many[i] = []tar.Header{File("last", string(rune('0'+i))), File("f"+string(rune('0'+i)), "x")}
	}
	chain := UnpackAll(t, s, Stack(t, many...))
	for _, n := range []int{0, 1, 2, len(many)} {
		for name, m := range map[string]*os.File{"view": view(t, s, chain[:n]), "container": prepare(t, s, "n"+string(rune('0'+n)), chain[:n])} {
			want := "absent"
			if n > 0 {
				want = string(rune('0' + n - 1))
			}
			if got := Read(t, m, "last"); got != want {
				t.Errorf("%s of %d layers: got %q, want %q", name, n, got, want)
			}
			if st, err := linux.StatAt(m, ""); err != nil || st.Mode&0o7777 != 0o755 {
				t.Errorf("%s of %d layers: root has mode %o, %v", name, n, st.Mode, err)
			}
		}
	}
	tooMany := make([]digest.Digest, 501)
	for i := range tooMany {
		tooMany[i] = chain[0]
	}
	if _, err := s.View(tooMany); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("view of 501 layers: %v", err)
	}
	if _, err := s.Prepare(t.Context(), "c", tooMany); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("prepare of 501 layers: %v", err)
	}
}

func testNames(t *testing.T, s snapshot.Snapshotter) {
	for _, id := range []string{"", ".", "..", "../x", "a/b", "a\x00b", strings.Repeat("a", 129), ".tmp"} {
		_, err := s.Prepare(t.Context(), id, nil)
		_, usageErr := s.Usage(id)
		for _, err := range []error{err, usageErr, s.Discard(t.Context(), id)} {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("container %q: got %v", id, err)
			}
		}
	}
	for _, d := range []digest.Digest{"", "sha256:..", "sha256:../../x", "x", "sha512:" + digest.Digest(strings.Repeat("0", 128)), digest.Digest(strings.Repeat("0", 64))} {
		_, viewErr := s.View([]digest.Digest{d})
		_, sizeErr := s.Size(d)
		for _, err := range []error{viewErr, sizeErr, s.Remove(t.Context(), d), s.Unpack(t.Context(), []digest.Digest{d}, d, strings.NewReader(""))} {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("digest %q: got %v", d, err)
			}
		}
		if s.Has(d) {
			t.Errorf("has %q", d)
		}
	}
}
