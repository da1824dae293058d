package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/linux"
	"berth/internal/testutil"
	"berth/layer"

	"github.com/containerd/errdefs"
)

// outside is a directory beside the layer that no tar may reach.
type outside struct {
	path   string
	before linux.Stat
}

func newOutside(t testing.TB, layerPath string) outside {
	t.Helper()
	o := outside{path: filepath.Join(filepath.Dir(layerPath), "outside")}
	if err := os.Mkdir(o.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.path, "file"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.before = o.stat(t)
	return o
}

func (o outside) stat(t testing.TB) linux.Stat {
	t.Helper()
	dir, err := os.Open(o.path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	return stat(t, dir, "file")
}

// check fails the test if anything there changed.
func (o outside) check(t testing.TB) {
	t.Helper()
	names, err := os.ReadDir(o.path)
	if err != nil || len(names) != 1 {
		t.Fatalf("outside has %d files, %v", len(names), err)
	}
	if now := o.stat(t); now != o.before {
		t.Fatalf("the file outside changed: %+v, before %+v", now, o.before)
	}
	if data, err := os.ReadFile(filepath.Join(o.path, "file")); string(data) != "secret" {
		t.Fatalf("the file outside has the content %q, %v", data, err)
	}
}

func TestSecurity35TarEscapes(t *testing.T) {
	testutil.RequireRoot(t)
	longer := strings.Repeat("x", 256)
	deep := strings.Repeat("d/", 600) + "f"
	for _, c := range []struct {
		name    string
		entries []entry
		says    string // part of the error
	}{
		{"dot-dot", []entry{file("../outside/file", "x")}, `".." component`},
		{"dot-dot inside", []entry{file("a/../../outside/file", "x")}, `".." component`},
		{"dot-dot that stays inside", []entry{dirEntry("a", 0o755), file("a/../b", "x")}, `".." component`},
		{"dot-dot at the end", []entry{dirEntry("a/..", 0o755)}, `".." component`},
		{"absolute", []entry{file("/outside/file", "x")}, "name is absolute"},
		{"absolute directory", []entry{dirEntry("//outside/", 0o777)}, "name is absolute"},
		{"through absolute symlink", []entry{symlink("x", "/outside"), file("x/file", "x")}, "absolute symbolic link"},
		{"through symlink to the root", []entry{symlink("x", "/"), file("x/file", "x")}, "absolute symbolic link"},
		{"through symlink upwards", []entry{symlink("x", "../outside"), file("x/file", "x")}, "out of the layer"},
		{"through two symlinks", []entry{symlink("a", "."), symlink("b", "a/.."), file("b/outside/file", "x")}, "out of the layer"},
		{"dot-dot after a symlink", []entry{dirEntry("d", 0o755), symlink("d/s", ".."), symlink("x", "d/s/../outside"), file("x/file", "x")}, "out of the layer"},
		{"symlink loop", []entry{symlink("a", "b"), symlink("b", "a"), file("a/file", "x")}, "too many symbolic links"},
		{"symlink to itself", []entry{symlink("a", "a/a"), file("a/file", "x")}, "too many symbolic links"},
		{"directory through symlink", []entry{symlink("x", "../outside"), dirEntry("x/new", 0o777)}, "out of the layer"},
		{"whiteout through symlink", []entry{symlink("x", "../outside"), file("x/.wh.file", "")}, "out of the layer"},
		{"opaque through symlink", []entry{symlink("x", "../outside"), file("x/.wh..wh..opq", "")}, "out of the layer"},
		{"whiteout of the parent", []entry{file("a/.wh...", "")}, `whiteout of ".."`},
		{"whiteout of itself", []entry{file("a/.wh..", "")}, `whiteout of "."`},
		{"whiteout of nothing", []entry{file("a/.wh.", "")}, `whiteout of ""`},
		{"below a whiteout", []entry{file(".wh.a/b", "")}, "below the whiteout"},
		{"hard link upwards", []entry{hardlink("x", "../outside/file")}, `".." component`},
		{"hard link to absolute", []entry{hardlink("x", "/outside/file")}, "not in this layer"},
		{"hard link through symlink", []entry{symlink("s", "../outside"), hardlink("x", "s/file")}, "out of the layer"},
		{"hard link to directory", []entry{dirEntry("d", 0o755), hardlink("x", "d")}, "directory"},
		{"hard link to the root", []entry{hardlink("x", ".")}, "directory"},
		{"hard link to itself", []entry{file("x", ""), hardlink("x", "x")}, "which it replaces"},
		{"hard link to below itself", []entry{file("x/y", ""), hardlink("x", "x/y")}, "which it replaces"},
		{"hard link as root", []entry{file("x", ""), hardlink(".", "x")}, "root is not a directory"},
		{"root as symlink", []entry{symlink(".", "../outside")}, "root is not a directory"},
		{"below a file", []entry{file("a", ""), file("a/b", "")}, "not a directory"},
		{"long component", []entry{file("a/"+longer, "")}, "longer than 255"},
		{"too deep", []entry{file(deep, "")}, "too long"},
		{"negative owner", []entry{{Header: tar.Header{Name: "x", Typeflag: tar.TypeReg, Uid: -1, Format: tar.FormatGNU}}}, "not a user and group id"},
		{"owner -1", []entry{{Header: tar.Header{Name: "x", Typeflag: tar.TypeReg, Gid: 1<<32 - 1}}}, "not a user and group id"},
		{"device number", []entry{{Header: tar.Header{Name: "x", Typeflag: tar.TypeChar, Devmajor: 1 << 12}}}, "does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, path := root(t)
			out := newOutside(t, path)
			data := archive(t, c.entries...)
			_, err := layer.Apply(t.Context(), dir, bytes.NewReader(data), layer.Options{})
			out.check(t)
			if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("got %v, want an invalid argument that says %q", err, c.says)
			}
			if strings.ContainsAny(fmt.Sprint(err), "\n\x1b") {
				t.Errorf("not one clean line: %q", err)
			}
		})
	}
}

// An absolute symbolic link that leads to a real directory of the host, and
// one to the file itself: what is made in its place must not go through it.
func TestSecurity35ThroughSymlinkInPlace(t *testing.T) {
	testutil.RequireRoot(t)
	for _, c := range []struct {
		name string
		last entry
	}{
		{"write", file("x", "overwritten")},
		{"chmod of a file", entry{Header: tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o4777, Uid: 5}}},
		{"fifo", entry{Header: tar.Header{Name: "x", Typeflag: tar.TypeFifo, Mode: 0o6777, Uid: 5}}},
		{"device", entry{Header: tar.Header{Name: "x", Typeflag: tar.TypeChar, Mode: 0o6777, Devmajor: 1, Devminor: 3}}},
		{"directory", dirEntry("x", 0o777)},
		{"hard link", hardlink("x", "y")},
		{"symlink", entry{Header: tar.Header{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "y", Uid: 5, Mode: 0o777}}},
		{"whiteout", file(".wh.x", "")},
		{"hard link to it, then a file", file("z", "overwritten")},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, path := root(t)
			out := newOutside(t, path)
			data := archive(t, file("y", ""), symlink("x", filepath.Join(out.path, "file")), hardlink("z", "x"), c.last)
			if _, err := layer.Apply(t.Context(), dir, bytes.NewReader(data), layer.Options{}); err != nil {
				t.Fatal(err)
			}
			out.check(t)
		})
	}
}

// A directory that is open in the cache is replaced by a symbolic link, a file,
// or a new directory: later entries must see what is there now.
func TestSecurity36CacheAndReplacedDirectory(t *testing.T) {
	testutil.RequireRoot(t)
	used := []entry{dirEntry("a", 0o755), dirEntry("a/b", 0o755), file("a/b/f", "1"), symlink("alias", "a"), file("alias/b/g", "2")}
	t.Run("by a symlink out", func(t *testing.T) {
		for _, name := range []string{"a/file", "a/b/file", "alias/file", "alias/b/file"} {
			dir, path := root(t)
			out := newOutside(t, path)
			data := archive(t, append(used, symlink("a", "../outside"), file(name, "x"))...)
			_, err := layer.Apply(t.Context(), dir, bytes.NewReader(data), layer.Options{})
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%s: got %v", name, err)
			}
			out.check(t)
		}
	})
	t.Run("by a symlink inside", func(t *testing.T) {
		dir, _ := apply(t, append(used, dirEntry("c", 0o755), symlink("a", "c"), file("a/b/h", "3"), file("alias/i", "4"))...)
		if read(t, dir, "c/b/h") != "3" || read(t, dir, "c/i") != "4" {
			t.Error("content differs")
		}
		if _, err := linux.StatAt(dir, "c/b/f"); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("the removed directory's file is there: %v", err)
		}
	})
	t.Run("by a file and a directory again", func(t *testing.T) {
		dir, _ := apply(t, append(used, file("a", ""), dirEntry("a", 0o711), file("a/b/h", "3"), file("alias/b/i", "4"))...)
		if read(t, dir, "a/b/h") != "3" || read(t, dir, "a/b/i") != "4" {
			t.Error("content differs")
		}
		if _, err := linux.StatAt(dir, "a/b/f"); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("the removed directory's file is there: %v", err)
		}
	})
	t.Run("alias to another directory", func(t *testing.T) {
		dir, _ := apply(t, append(used, dirEntry("c", 0o755), symlink("alias", "c"), file("alias/b/h", "3"))...)
		if read(t, dir, "c/b/h") != "3" {
			t.Error("content differs")
		}
	})
}

// endless gives a tar header again and again.
type endless struct{ block, rest []byte }

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		e.rest = e.block
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func TestSecurity37Bombs(t *testing.T) {
	testutil.RequireRoot(t)
	zeros := func() io.Reader { return &endless{block: make([]byte, 64<<10)} }
	sparse := func(size string) io.Reader {
		return bytes.NewReader(paxWithRawRecords(t, map[string]string{
			"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": size,
			"GNU.sparse.map": "0,0", "GNU.sparse.numblocks": "1",
		}))
	}
	implicit := func() io.Reader {
		var all bytes.Buffer
		for i := range 2000 {
			data := archive(t, file(fmt.Sprintf("%05d/%sf", i, strings.Repeat(strings.Repeat("i", 250)+"/", 15)), ""))
			all.Write(data[:len(data)-1024])
		}
		return &all
	}
	for _, c := range []struct {
		name string
		r    io.Reader
		opts layer.Options
		want error
	}{
		{"files without end", &endless{block: archive(t, file("f", ""))[:512]}, layer.Options{MaxEntries: 5000}, errdefs.ErrResourceExhausted},
		{"headers without end", &endless{block: paxWithRawRecords(t, map[string]string{"a": "b"})[:1024]}, layer.Options{MaxSize: 10 << 20}, errdefs.ErrResourceExhausted},
		{"zeros after the end", io.MultiReader(bytes.NewReader(archive(t)), zeros()), layer.Options{MaxSize: 10 << 20}, errdefs.ErrResourceExhausted},
		{"2 MB header", bytes.NewReader(paxWithRawRecords(t, map[string]string{"a": strings.Repeat("x", 2<<20)})), layer.Options{}, errdefs.ErrInvalidArgument},
		{"large file", bytes.NewReader(archive(t, file("f", strings.Repeat("x", 2000)))), layer.Options{MaxSize: 1999}, errdefs.ErrResourceExhausted},
		{"files large in sum", bytes.NewReader(archive(t, file("f", strings.Repeat("x", 5000)), file("g", strings.Repeat("x", 5000)))), layer.Options{MaxSize: 9999}, errdefs.ErrResourceExhausted},
		{"1 PB sparse", sparse("1125899906842624"), layer.Options{}, errdefs.ErrResourceExhausted},
		{"8 EB sparse", sparse("9223372036854775807"), layer.Options{}, errdefs.ErrResourceExhausted},
		{"negative size", sparse("-5"), layer.Options{}, errdefs.ErrInvalidArgument},
		{"directories without entries", implicit(), layer.Options{}, errdefs.ErrResourceExhausted},
		{"cut in a header", bytes.NewReader(archive(t, file("f", "x"))[:300]), layer.Options{}, errdefs.ErrInvalidArgument},
		{"cut in a file", bytes.NewReader(archive(t, file("f", strings.Repeat("x", 2000)))[:1500]), layer.Options{}, errdefs.ErrInvalidArgument},
		{"not a tar", strings.NewReader(strings.Repeat("not a tar", 100)), layer.Options{}, errdefs.ErrInvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, _ := rootInMemory(t)
			_, err := layer.Apply(t.Context(), dir, c.r, c.opts)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// A sparse file that is allowed takes time, not disk, and ends with the context.
func TestSecurity37SparseEndsWithContext(t *testing.T) {
	testutil.RequireRoot(t)
	dir, _ := root(t)
	data := paxWithRawRecords(t, map[string]string{
		"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": "1099511627776",
		"GNU.sparse.map": "0,0", "GNU.sparse.numblocks": "1",
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := layer.Apply(ctx, dir, bytes.NewReader(data), layer.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if st := stat(t, dir, "f"); st.Disk > 1<<20 {
		t.Errorf("takes %d bytes of disk", st.Disk)
	}
}

// A full disk is said as such. The file system is a tmpfs of 1 MB.
func TestApplyDiskFull(t *testing.T) {
	testutil.RequireRoot(t)
	path := t.TempDir()
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	data := archive(t, file("big", strings.Repeat("x", 2<<20)))
	_, err = layer.Apply(t.Context(), dir, bytes.NewReader(data), layer.Options{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), `"big"`) {
		t.Errorf("got %v", err)
	}
}
