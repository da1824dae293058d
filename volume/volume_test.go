package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"berth/internal/copytree"

	"github.com/containerd/errdefs"
)

func TestEnsureKeepsData(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "volumes"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.Ensure("data", true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/f", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := s.Ensure("data", true, nil)
	if err != nil || again != dir {
		t.Fatalf("second Ensure: %q, %v", again, err)
	}
	if _, err := os.Stat(dir + "/f"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.Remove("data"), s.Remove("data")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
}

func TestNames(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", "-a", strings.Repeat("a", 200), "a\x00"} {
		if _, err := s.Ensure(name, true, nil); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("Ensure(%.20q): %v", name, err)
		}
	}
}

func TestFill(t *testing.T) {
	root, image := t.TempDir(), t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(
		os.WriteFile(outside, []byte("host"), 0o600),
		os.MkdirAll(image+"/sub/deep", 0o750),
		os.WriteFile(image+"/sub/file", []byte("content"), 0o640),
		os.Symlink(outside, image+"/link"),
		syscall.Mkfifo(image+"/fifo", 0o600),
		os.Chmod(image, 0o711),
	); err != nil {
		t.Fatal(err)
	}
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	fill := func(dir *os.File) error {
		calls++
		from, err := os.Open(image)
		if err != nil {
			return err
		}
		defer from.Close()
		return copytree.Copy(t.Context(), from, dir)
	}
	data, err := s.Ensure("vol", true, fill)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ensure("vol", true, fill); err != nil || calls != 1 {
		t.Errorf("second Ensure: %v, filled %d times", err, calls)
	}
	if fi, err := os.Stat(data); err != nil || fi.Mode().Perm() != 0o711 {
		t.Errorf("the volume's own mode: %v, %v", fi.Mode(), err)
	}
	if got, err := os.ReadFile(data + "/sub/file"); err != nil || string(got) != "content" {
		t.Errorf("file: %q, %v", got, err)
	}
	if fi, err := os.Stat(data + "/sub/file"); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("mode: %v, %v", fi.Mode(), err)
	}
	if target, err := os.Readlink(data + "/link"); err != nil || target != outside {
		t.Errorf("link: %q, %v", target, err)
	}
	if _, err := os.Lstat(data + "/fifo"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("fifo: %v", err)
	}
}

func TestFailedFillLeavesNothing(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	if _, err := s.Ensure("vol", true, func(*os.File) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("Ensure: %v", err)
	}
	if entries, err := os.ReadDir(s.root); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
