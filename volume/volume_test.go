package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestEnsureKeepsData(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "volumes"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.Ensure("data")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/f", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := s.Ensure("data")
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
		if _, err := s.Ensure(name); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("Ensure(%.20q): %v", name, err)
		}
	}
}
