package linux

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"

	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, path string) *os.File {
	t.Helper()
	d, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestAtCallsDoNotFollow(t *testing.T) {
	temp := t.TempDir()
	d := openDir(t, temp)
	target := filepath.Join(temp, "target")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := StatAt(d, "target")
	if err != nil {
		t.Fatal(err)
	}
	if err := SymlinkAt(d, "link", target); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1_000_000_000, 123_456_789)
	if err := SetMtimeAt(d, "link", when); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateAt(d, "link"); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("create: %v", err)
	}
	if _, err := OpenAt(d, "link", os.O_RDONLY); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("open: %v", err)
	}
	if err := ChmodAt(d, "link", 0o777); err == nil {
		t.Error("chmod of a symbolic link works")
	}
	if err := LinkAt(d, "link", d, "link2"); err != nil {
		t.Error(err)
	}
	link, err := StatAt(d, "link2")
	if err != nil || !link.IsSymlink() || link.Links != 2 || !link.Mtime.Equal(when) {
		t.Errorf("the link is %+v, %v", link, err)
	}
	if now, err := StatAt(d, "target"); err != nil || now != before {
		t.Errorf("the target was %+v, is %+v, %v", before, now, err)
	}
	if got, err := ReadlinkAt(d, "link"); got != target || err != nil {
		t.Errorf("target: %q, %v", got, err)
	}
	if err := UnlinkAt(d, "link"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(MkdirAt(d, "dir"), ChmodAt(d, "dir", 0o3751)); err != nil {
		t.Fatal(err)
	}
	if st, err := StatAt(d, "dir"); err != nil || st.Mode != unix.S_IFDIR|0o3751 || !st.IsDir() {
		t.Errorf("dir is %+v, %v", st, err)
	}
	if err := UnlinkAt(d, "dir"); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("unlink of a directory: %v", err)
	}
	if err := RmdirAt(d, "dir"); err != nil {
		t.Error(err)
	}
}

func TestMknodAtIgnoresUmask(t *testing.T) {
	d := openDir(t, t.TempDir())
	for _, mode := range []uint32{0, 0o600, 0o666, 0o6777} {
		name := strconv.Itoa(int(mode))
		if err := MknodAt(d, name, unix.S_IFIFO|mode, 0); err != nil {
			t.Fatal(err)
		}
		if st, err := StatAt(d, name); err != nil || st.Mode != unix.S_IFIFO|mode {
			t.Errorf("mode: got %o, %v, want %o", st.Mode, err, mode)
		}
	}
}

func TestXattr(t *testing.T) {
	testutil.RequireRoot(t)
	f := openDir(t, t.TempDir())
	if _, err := Xattr(f, "trusted.a"); !errors.Is(err, syscall.ENODATA) {
		t.Errorf("absent: %v", err)
	}
	if err := errors.Join(SetXattr(f, "trusted.a", []byte("1\x002")), SetXattr(f, "trusted.empty", nil)); err != nil {
		t.Fatal(err)
	}
	if v, err := Xattr(f, "trusted.a"); string(v) != "1\x002" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	if v, err := Xattr(f, "trusted.empty"); len(v) != 0 || err != nil {
		t.Errorf("empty: %q, %v", v, err)
	}
	names, err := Xattrs(f)
	slices.Sort(names)
	if want := []string{"trusted.a", "trusted.empty"}; !slices.Equal(names, want) || err != nil {
		t.Errorf("names: %q, %v", names, err)
	}
}

func TestRemoveTreeAt(t *testing.T) {
	temp := t.TempDir()
	d := openDir(t, temp)
	outside := filepath.Join(temp, "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir *os.File)
	}{
		{"nothing", func(*testing.T, *os.File) {}},
		{"file", func(t *testing.T, dir *os.File) {
			if err := os.WriteFile(filepath.Join(temp, "x"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"symlink", func(t *testing.T, dir *os.File) {
			if err := SymlinkAt(dir, "x", outside); err != nil {
				t.Fatal(err)
			}
		}},
		{"wide", func(t *testing.T, dir *os.File) {
			for i := range 1500 {
				if err := os.MkdirAll(filepath.Join(temp, "x", strconv.Itoa(i%7), ".moved-"+strconv.Itoa(i)), 0); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"deeper than a path and the limit of open files", func(t *testing.T, dir *os.File) { nest(t, dir, 2500) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.make(t, d)
			if err := RemoveTreeAt(d, "x"); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) != 1 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// nest makes directories in each other, beginning with "x" in dir, with a file
// and a symbolic link upwards in each.
func nest(t *testing.T, dir *os.File, levels int) {
	t.Helper()
	at, name := dir, "x"
	for i := range levels {
		if err := MkdirAt(at, name); err != nil {
			t.Fatal(err)
		}
		next, err := OpenAt(at, name, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			t.Fatal(err)
		}
		if err := SymlinkAt(next, "up", ".."); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			_ = at.Close()
		}
		at, name = next, "d"
	}
	_ = at.Close()
}

// Both ways of mounting a union give the same, on every kernel that has both.
func TestMountOverlay(t *testing.T) {
	testutil.RequireRoot(t)
	for _, way := range []struct {
		name  string
		mount func(Overlay) (*os.File, error)
	}{{"as the kernel can", MountOverlay}, {"attached", mountOverlayAttached}} {
		t.Run(way.name, func(t *testing.T) {
			root := t.TempDir()
			for _, dir := range []string{"1", "2", "3", "upper", "work"} {
				if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(root, dir, "which"), []byte(dir), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Remove(filepath.Join(root, "upper/which")); err != nil {
				t.Fatal(err)
			}
			mounts, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			o := Overlay{Root: root, Lower: []string{"3", "2", "1"}}
			view, err := way.mount(o)
			if err != nil {
				t.Fatal(err)
			}
			defer view.Close()
			o.Upper, o.Work = "upper", "work"
			union, err := way.mount(o)
			if err != nil {
				t.Fatal(err)
			}
			defer union.Close()
			if f, err := CreateAt(view, "new"); !errors.Is(err, syscall.EROFS) {
				t.Errorf("create in the view: %v, %v", f, err)
			}
			f, err := CreateAt(union, "new")
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			if _, err := os.Stat(filepath.Join(root, "upper/new")); err != nil {
				t.Error(err)
			}
			for _, m := range []*os.File{view, union} {
				data, err := os.ReadFile("/proc/self/fd/" + strconv.Itoa(int(m.Fd())) + "/which")
				if string(data) != "3" {
					t.Errorf("which: %q, %v", data, err)
				}
			}
			if now, err := os.ReadFile("/proc/self/mountinfo"); err != nil || string(now) != string(mounts) {
				t.Errorf("the mount table changed: %v", err)
			}
			if _, err := way.mount(Overlay{Root: root, Lower: []string{"absent", "1"}}); err == nil {
				t.Error("a union of an absent directory is mounted")
			}
			if _, err := way.mount(Overlay{Root: root, Lower: strings.Split(strings.Repeat("1 ", 501), " ")}); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ELOOP) {
				t.Errorf("502 layers: %v", err)
			}
		})
	}
}
