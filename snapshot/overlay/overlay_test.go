package overlay_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"
	"berth/internal/testutil"
	"berth/layer"
	"berth/snapshot"
	"berth/snapshot/overlay"
	"berth/snapshot/testsuite"
)

func open(t *testing.T, root string) *overlay.Store {
	t.Helper()
	s, err := overlay.Open(root, layer.Unpack)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	testutil.RequireRoot(t)
	testsuite.Run(t, func(t *testing.T) snapshot.Snapshotter { return open(t, filepath.Join(t.TempDir(), "data")) })
}

// files lists what lies in a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestOpenRemovesLeftovers(t *testing.T) {
	testutil.RequireRoot(t)
	root := t.TempDir()
	s := open(t, root)
	chain := testsuite.UnpackAll(t, s, testsuite.Stack(t, []tar.Header{testsuite.File("a", "1")}))
	if err := os.MkdirAll(filepath.Join(root, "layers/.tmp-123/a/b"), 0o700); err != nil {
		t.Fatal(err)
	}
	s = open(t, root)
	if got, want := files(t, filepath.Join(root, "layers")), chain[0].Encoded()+" empty"; got != want {
		t.Errorf("layers has %q, want %q", got, want)
	}
	if !s.Has(chain[0]) {
		t.Error("the layer is gone")
	}
}

func TestFailedUnpackLeavesNothing(t *testing.T) {
	testutil.RequireRoot(t)
	root := t.TempDir()
	s := open(t, root)
	l := testsuite.Stack(t, []tar.Header{testsuite.File("a/b", "1"), testsuite.File("../b", "2")})[0]
	if err := s.Unpack(t.Context(), l.Chain, l.Diff, bytes.NewReader(l.Tar)); err == nil {
		t.Error("a hostile layer is unpacked")
	}
	if got := files(t, filepath.Join(root, "layers")); got != "empty" {
		t.Errorf("layers has %q", got)
	}
}

// The disk is a tmpfs of 1 MB. There is no half layer, and one line says why.
func TestUnpackDiskFull(t *testing.T) {
	testutil.RequireRoot(t)
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(root, syscall.MNT_DETACH) })
	s := open(t, root)
	stack := testsuite.Stack(t,
		[]tar.Header{testsuite.File("big", strings.Repeat("x", 2<<20))}, []tar.Header{testsuite.File("small", "x")})
	err := s.Unpack(t.Context(), stack[0].Chain, stack[0].Diff, bytes.NewReader(stack[0].Tar))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the disk of "+root+" is full") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	if got := files(t, filepath.Join(root, "layers")); got != "empty" {
		t.Errorf("layers has %q", got)
	}
	small := testsuite.Stack(t, []tar.Header{testsuite.File("small", "x")})
	testsuite.UnpackAll(t, s, small) // there is room again
}

// Two containers read one copy of a layer's file, from disk and from memory.
func TestContainersShareLayers(t *testing.T) {
	testutil.RequireRoot(t)
	if _, err := exec.LookPath("fincore"); err != nil {
		t.Fatal("needs fincore: apt-get install util-linux-extra or util-linux")
	}
	const size = 4 << 20
	root := t.TempDir()
	s := open(t, root)
	chain := testsuite.UnpackAll(t, s, testsuite.Stack(t, []tar.Header{testsuite.File("f", strings.Repeat("x", size))}, []tar.Header{testsuite.File("g", "2")}))
	mount := func(id string) *os.File {
		o, err := s.Prepare(t.Context(), id, chain)
		if err != nil {
			t.Fatal(err)
		}
		return testsuite.Mount(t, o)
	}
	one, two := mount("one"), mount("two")
	path := filepath.Join(root, "layers", chain[0].Encoded(), "f")
	var want syscall.Stat_t
	if err := syscall.Stat(path, &want); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*os.File{one, two} {
		if st, err := linux.StatAt(m, "f"); err != nil || st.ID.Ino != want.Ino {
			t.Errorf("inode of f: got %d, %v, want the layer's %d", st.ID.Ino, err, want.Ino)
		}
	}
	// In memory: what one container reads is there for the other.
	if out, err := exec.Command("dd", "of="+path, "oflag=nocache", "conv=notrunc,fdatasync", "count=0").CombinedOutput(); err != nil {
		t.Fatalf("drop f from memory: %v: %s", err, out)
	}
	if n := resident(t, two); n > size/2 {
		t.Skipf("the file system keeps f in memory (%d bytes)", n)
	}
	if got := testsuite.Read(t, one, "f"); len(got) != size {
		t.Fatalf("read %d bytes", len(got))
	}
	if n := resident(t, two); n != size {
		t.Errorf("after one container read f, the other has %d bytes of it in memory, want %d", n, size)
	}
	if got := files(t, filepath.Join(root, "containers/one/upper")); got != "" {
		t.Errorf("reading copied %q up", got)
	}
}

// resident returns how much of the file f in a mount is in memory.
func resident(t *testing.T, m *os.File) int {
	t.Helper()
	path := "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(m.Fd())) + "/f"
	out, err := exec.Command("fincore", "--bytes", "--noheadings", "--output", "RES", path).CombinedOutput()
	if err != nil {
		t.Fatalf("fincore: %v: %s", err, out)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatalf("fincore: %q", out)
	}
	return n
}

// Nobody but root reaches a layer: class J of SECURITY.md.
func TestSecurity24LayersModes(t *testing.T) {
	testutil.RequireRoot(t)
	root := filepath.Join(t.TempDir(), "data")
	s := open(t, root)
	testsuite.UnpackAll(t, s, testsuite.Stack(t, []tar.Header{testsuite.Dir(".", 0o777)}))
	if _, err := s.Prepare(t.Context(), "c", nil); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{".", "layers", "layers/empty", "containers", "containers/c", "containers/c/work"} {
		st, err := os.Stat(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s has mode %v", dir, st.Mode())
		}
	}
}

// Discard leaves what is not a writable layer.
func TestDiscardKeepsTheRecord(t *testing.T) {
	testutil.RequireRoot(t)
	root := t.TempDir()
	s := open(t, root)
	if _, err := s.Prepare(t.Context(), "c", nil); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(root, "containers/c/container.json")
	if err := os.WriteFile(record, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if got := files(t, filepath.Dir(record)); got != "container.json" {
		t.Errorf("the container's directory has %q", got)
	}
}
