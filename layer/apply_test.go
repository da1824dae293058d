package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/linux"
	"berth/internal/testutil"
	"berth/layer"

	"github.com/google/go-cmp/cmp"
)

// entry is one tar entry; body is its content.
type entry struct {
	tar.Header
	body string
}

func dirEntry(name string, mode int64) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}}
}

func file(name, body string) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(body))}, body: body}
}

func symlink(name, target string) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}}
}

func hardlink(name, target string) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}}
}

// archive writes a tar of entries.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatalf("write header %q: %v", e.Name, err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// root returns an open empty directory, and its path.
func root(t testing.TB) (*os.File, string) {
	t.Helper()
	return rootIn(t, t.TempDir())
}

// rootInMemory is root in a tmpfs, for tests that make very many files.
func rootInMemory(t testing.TB) (*os.File, string) {
	t.Helper()
	temp, err := os.MkdirTemp("/dev/shm", "berth-test-")
	if err != nil {
		return root(t)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	return rootIn(t, temp)
}

func rootIn(t testing.TB, temp string) (*os.File, string) {
	t.Helper()
	path := filepath.Join(temp, "layer")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	return dir, path
}

// apply unpacks a tar of entries, which must work.
func apply(t testing.TB, entries ...entry) (dir *os.File, res layer.Result) {
	t.Helper()
	dir, _ = root(t)
	res, err := layer.Apply(t.Context(), dir, bytes.NewReader(archive(t, entries...)), layer.Options{})
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return dir, res
}

func stat(t testing.TB, dir *os.File, name string) linux.Stat {
	t.Helper()
	st, err := linux.StatAt(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func read(t testing.TB, dir *os.File, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir.Name(), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func isOpaque(t testing.TB, dir *os.File, name string) bool {
	t.Helper()
	f, err := os.Open(filepath.Join(dir.Name(), name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := linux.Xattr(f, "trusted.overlay.opaque")
	if err != nil && !errors.Is(err, syscall.ENODATA) {
		t.Fatal(err)
	}
	return string(v) == "y"
}

func TestApplyKeepsMetadata(t *testing.T) {
	testutil.RequireRoot(t)
	when := time.Date(2001, 2, 3, 4, 5, 6, 789_000_007, time.UTC)
	long := strings.Repeat("n", 255)
	deep := strings.Repeat(strings.Repeat("d", 100)+"/", 20) + "f"
	all := []struct {
		name string
		h    tar.Header
		mode uint32
		rdev uint64
	}{
		{"set-user-id", tar.Header{Typeflag: tar.TypeReg, Mode: 0o4755}, syscall.S_IFREG | 0o4755, 0},
		{"set-group-id", tar.Header{Typeflag: tar.TypeReg, Mode: 0o2711}, syscall.S_IFREG | 0o2711, 0},
		{"no permission", tar.Header{Typeflag: tar.TypeReg}, syscall.S_IFREG, 0},
		{"sticky directory", tar.Header{Typeflag: tar.TypeDir, Mode: 0o1777}, syscall.S_IFDIR | 0o1777, 0},
		{"symlink", tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/nowhere/\xff"}, syscall.S_IFLNK | 0o777, 0},
		{"char", tar.Header{Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}, syscall.S_IFCHR | 0o666, linux.Mkdev(1, 3)},
		{"block", tar.Header{Typeflag: tar.TypeBlock, Mode: 0o660, Devmajor: 259, Devminor: 1 << 19}, syscall.S_IFBLK | 0o660, linux.Mkdev(259, 1<<19)},
		{"fifo", tar.Header{Typeflag: tar.TypeFifo, Mode: 0o622}, syscall.S_IFIFO | 0o622, 0},
		{"set-id fifo", tar.Header{Typeflag: tar.TypeFifo, Mode: 0o2640}, syscall.S_IFIFO | 0o2640, 0},
		{long, tar.Header{Typeflag: tar.TypeReg, Mode: 0o600}, syscall.S_IFREG | 0o600, 0},
		{deep, tar.Header{Typeflag: tar.TypeReg, Mode: 0o600}, syscall.S_IFREG | 0o600, 0},
		{"not utf-8 \xff\xfe", tar.Header{Typeflag: tar.TypeReg, Mode: 0o640}, syscall.S_IFREG | 0o640, 0},
		{"new\nline ü", tar.Header{Typeflag: tar.TypeReg, Mode: 0o640}, syscall.S_IFREG | 0o640, 0},
	}
	entries := []entry{}
	for _, c := range all {
		c.h.Name, c.h.Uid, c.h.Gid, c.h.ModTime = c.name, 1234, 3_000_000_000, when
		c.h.Format = tar.FormatPAX
		if strings.Contains(c.name+c.h.Linkname, "\xff") { // Go writes these in GNU format only
			c.h.Format, c.h.ModTime, c.h.Gid = tar.FormatGNU, when.Truncate(time.Second), 70000
		}
		entries = append(entries, entry{Header: c.h})
	}
	dir, _ := apply(t, entries...)
	for i, c := range all {
		got := stat(t, dir, c.name)
		h := entries[i].Header
		want := linux.Stat{Mode: c.mode, UID: uint32(h.Uid), GID: uint32(h.Gid), Rdev: c.rdev, Mtime: h.ModTime.Local()}
		got.ID, got.Links, got.Disk, got.Size = linux.FileID{}, 0, 0, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.20q: -want +got\n%s", c.name, diff)
		}
	}
	if target, err := linux.ReadlinkAt(dir, "symlink"); target != "/nowhere/\xff" {
		t.Errorf("symlink's target is %q, %v", target, err)
	}
}

// A directory has the time of its entry although entries are made in it later,
// also when so many directories come between that it was closed meanwhile.
func TestApplyDirectoryTimes(t *testing.T) {
	testutil.RequireRoot(t)
	when := time.Unix(1_000_000_000, 0)
	var entries []entry
	names := []string{"."}
	for i := range 300 {
		names = append(names, "d"+strings.Repeat("x", i%50)+string(rune('a'+i/50)))
	}
	for i, name := range names {
		e := dirEntry(name, 0o755)
		e.ModTime = when.Add(time.Duration(i) * time.Hour)
		entries = append(entries, e)
	}
	for _, name := range names {
		entries = append(entries, file(name+"/f", "content"))
	}
	dir, _ := apply(t, entries...)
	for i, name := range names {
		if got, want := stat(t, dir, name).Mtime, when.Add(time.Duration(i)*time.Hour); !got.Equal(want) {
			t.Errorf("time of %s: got %v, want %v", name, got, want)
		}
	}
}

func TestApplyXattrs(t *testing.T) {
	testutil.RequireRoot(t)
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	given := map[string]string{
		"user.note":                "a\x00b",
		"security.capability":      capability,
		"trusted.overlay.opaque":   "y",
		"trusted.overlay.origin":   "x",
		"user.overlay.opaque":      "y",
		"trusted.other":            "x",
		"security.evm":             "x",
		"security.selinux":         "x",
		"trusted.overlay.redirect": "/etc",
	}
	records := map[string]string{}
	for k, v := range given {
		if !strings.Contains(v, "\x00") { // Go's writer refuses NUL: see below
			records["SCHILY.xattr."+k] = v
		}
	}
	f := file("f", "x")
	f.PAXRecords, f.Mode = records, 0o4755
	d := dirEntry("d", 0o755)
	d.PAXRecords = records
	data := archive(t, f, d)
	dir, _ := root(t)
	if _, err := layer.Apply(t.Context(), dir, bytes.NewReader(data), layer.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f", "d"} {
		o, err := os.Open(filepath.Join(dir.Name(), name))
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		names, err := linux.Xattrs(o)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) != 0 {
			t.Errorf("attributes of %s: got %q, want none of those", name, names)
		}
	}
	// Values with NULs, as GNU tar writes them.
	dir, _ = root(t)
	data = paxWithRawRecords(t, map[string]string{
		"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.note": "a\x00b",
	})
	if _, err := layer.Apply(t.Context(), dir, bytes.NewReader(data), layer.Options{}); err != nil {
		t.Fatal(err)
	}
	o, err := os.Open(filepath.Join(dir.Name(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for _, name := range []string{"security.capability", "user.note"} {
		if v, err := linux.Xattr(o, name); string(v) != given[name] {
			t.Errorf("%s: got %q, %v", name, v, err)
		}
	}
}

// paxWithRawRecords makes a tar of one empty file "f" with PAX records that
// Go's writer would not write.
func paxWithRawRecords(t testing.TB, records map[string]string) []byte {
	t.Helper()
	var body string
	for k, v := range records {
		n := len(k) + len(v) + 3
		for size := 0; size != n; {
			size = n
			n = len(k) + len(v) + 3 + len(itoa(size))
		}
		body += itoa(n) + " " + k + "=" + v + "\n"
	}
	x := archive(t, file("PaxHeaders.0/f", body))
	x = x[:512+(len(body)+511)/512*512]
	x[156] = 'x'
	copy(x[148:156], "        ")
	sum := 0
	for _, c := range x[:512] {
		sum += int(c)
	}
	copy(x[148:156], []byte{byte('0' + sum>>15&7), byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
	return append(x, archive(t, file("f", ""))...)
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestApplyHardLinks(t *testing.T) {
	testutil.RequireRoot(t)
	dir, res := apply(t,
		dirEntry("usr", 0o755), dirEntry("usr/bin", 0o755), symlink("bin", "usr/bin"),
		file("usr/bin/perl", "perl"), hardlink("usr/bin/perl5", "./usr/bin/perl"),
		hardlink("perl", "/usr/bin/perl"), hardlink("bin/p", "bin/perl5"),
		symlink("link", "../outside"), hardlink("link2", "link"))
	want := stat(t, dir, "usr/bin/perl")
	if want.Links != 4 {
		t.Errorf("links: got %d, want 4", want.Links)
	}
	for _, name := range []string{"usr/bin/perl5", "perl", "usr/bin/p"} {
		if got := stat(t, dir, name).ID; got != want.ID {
			t.Errorf("%s is another file than usr/bin/perl", name)
		}
	}
	if st := stat(t, dir, "link2"); !st.IsSymlink() || st.ID != stat(t, dir, "link").ID {
		t.Error("link2 is not the symbolic link itself")
	}
	if res.Size != 4 {
		t.Errorf("size: got %d, want 4: a hard link has no content of its own", res.Size)
	}
}

func TestApplyReplaces(t *testing.T) {
	testutil.RequireRoot(t)
	dir, _ := apply(t,
		file("file-file", "old"), file("file-file", "new"),
		file("linked", "old"), hardlink("other", "linked"), file("linked", "new"),
		dirEntry("dir-file", 0o755), file("dir-file/x/y", ""), file("dir-file", "new"),
		file("file-dir", ""), dirEntry("file-dir", 0o700), file("file-dir/x", "new"),
		dirEntry("target", 0o755), symlink("link-dir", "target"), dirEntry("link-dir", 0o755), file("link-dir/x", "new"),
		dirEntry("dir-dir", 0o755), file("dir-dir/x", "kept"), dirEntry("dir-dir", 0o711))
	for name, want := range map[string]string{
		"file-file": "new", "linked": "new", "other": "old", "dir-file": "new",
		"file-dir/x": "new", "link-dir/x": "new", "dir-dir/x": "kept",
	} {
		if got := read(t, dir, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if st := stat(t, dir, "link-dir"); !st.IsDir() {
		t.Error("link-dir is not a directory")
	}
	if st := stat(t, dir, "dir-dir"); st.Mode&0o7777 != 0o711 {
		t.Errorf("mode of dir-dir: %o", st.Mode)
	}
}

func TestApplyWhiteouts(t *testing.T) {
	testutil.RequireRoot(t)
	dir, res := apply(t,
		file("a/.wh.gone", ""), file("./.wh.top", ""),
		file("opaque/.wh..wh..opq", ""), file("opaque/x", ""),
		file("x/.wh.later", ""), dirEntry("x/later", 0o755), file("x/later/y", ""),
		dirEntry("x/earlier", 0o755), file("x/.wh.earlier", ""),
		file("x/.wh.parent", ""), file("x/parent/y", ""),
		file("f", "kept"), file(".wh.f", ""),
		file(".wh.g", ""), file("g", "kept"),
		file(".wh..wh.plnk/1.2", ""), file(".wh..wh.aufs", ""), hardlink("a/.wh.linked", ".wh..wh.aufs"))
	for _, name := range []string{"a/gone", "top", "a/linked"} {
		if !stat(t, dir, name).IsWhiteout() {
			t.Errorf("%s is not a whiteout", name)
		}
	}
	for name, want := range map[string]bool{
		"opaque": true, "x/later": true, "x/earlier": true, "x/parent": true, "a": false, "x": false, ".": false,
	} {
		if got := isOpaque(t, dir, name); got != want {
			t.Errorf("%s is opaque: got %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"f", "g"} {
		if got := read(t, dir, name); got != "kept" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	names, err := os.ReadDir(dir.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), ".wh.") {
			t.Errorf("%s is left", n.Name())
		}
	}
	if want := []string{".", "a", "opaque", "x", "x/parent"}; !slices.Equal(res.Implicit, want) {
		t.Errorf("implicit: got %q, want %q", res.Implicit, want)
	}
}

func TestApplyParents(t *testing.T) {
	testutil.RequireRoot(t)
	dir, res := apply(t,
		file("a/b/c", "1"), dirEntry("a", 0o700),
		file("gone/x/y", ""), file("gone", ""),
		symlink("lib", "usr/lib"), file("lib/x", "2"), // usr/lib is in a layer below
		dirEntry("p", 0o755), dirEntry("p/q", 0o755), symlink("p/up", ".././p/q/../q"), file("p/up/z", "3"),
		symlink("chain", "p/up"), file("chain/w", "4"))
	for name, want := range map[string]string{"a/b/c": "1", "usr/lib/x": "2", "p/q/z": "3", "p/q/w": "4"} {
		if got := read(t, dir, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if want := []string{".", "a/b", "usr", "usr/lib"}; !slices.Equal(res.Implicit, want) {
		t.Errorf("implicit: got %q, want %q", res.Implicit, want)
	}
	if st := stat(t, dir, "a/b"); st.Mode&0o7777 != 0o755 || st.UID != 0 {
		t.Errorf("a/b: %o owner %d", st.Mode, st.UID)
	}
}

func TestApplyParentIsSetGroupID(t *testing.T) {
	testutil.RequireRoot(t)
	parent := dirEntry("s", 0o2775)
	parent.Gid = 50
	dir, _ := apply(t, parent, file("s/f", ""), file("s/implicit/f", ""), dirEntry("s/d", 0o755), symlink("s/l", "f"))
	for name, mode := range map[string]uint32{"s/f": 0o644, "s/implicit": 0o755, "s/d": 0o755, "s/l": 0o777} {
		if st := stat(t, dir, name); st.GID != 0 || st.Mode&0o7777 != mode {
			t.Errorf("%s: group %d, mode %o, want 0, %o", name, st.GID, st.Mode&0o7777, mode)
		}
	}
}

func TestApplyRootEntry(t *testing.T) {
	testutil.RequireRoot(t)
	for _, name := range []string{".", "./", "/", "//"} {
		e := dirEntry(name, 0o1750)
		e.Uid = 7
		dir, res := apply(t, e)
		if st := stat(t, dir, ""); st.Mode&0o7777 != 0o1750 || st.UID != 7 {
			t.Errorf("%q: mode %o, owner %d", name, st.Mode, st.UID)
		}
		if len(res.Implicit) != 0 {
			t.Errorf("%q: implicit %q", name, res.Implicit)
		}
	}
}

func TestApplyAbsoluteNames(t *testing.T) {
	testutil.RequireRoot(t)
	dir, _ := root(t)
	data := archive(t, dirEntry("/app", 0o755), file("/app/x", "1"), file("//y", "2"))
	if _, err := layer.Apply(t.Context(), dir, bytes.NewReader(data), layer.Options{AbsoluteNames: true}); err != nil {
		t.Fatal(err)
	}
	if read(t, dir, "app/x") != "1" || read(t, dir, "y") != "2" {
		t.Error("content differs")
	}
}

func TestApplyReadsToTheEnd(t *testing.T) {
	testutil.RequireRoot(t)
	data := append(archive(t, file("f", "x")), make([]byte, 100<<10)...)
	dir, _ := root(t)
	r := bytes.NewReader(data)
	if _, err := layer.Apply(t.Context(), dir, r, layer.Options{}); err != nil || r.Len() != 0 {
		t.Errorf("err %v, %d bytes not read", err, r.Len())
	}
}
