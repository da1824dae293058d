package hostinfo

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRead(t *testing.T) {
	h, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if h.Kernel.Major < 5 || h.CPUs < 1 || h.Memory < 1<<20 || h.Hostname == "" || h.Arch == "" {
		t.Errorf("got %+v", h)
	}
	if os.Geteuid() == 0 && !slices.Contains(h.Capabilities, "CAP_CHOWN") {
		t.Errorf("root's capabilities are %v", h.Capabilities)
	}
}

func TestDevices(t *testing.T) {
	link := filepath.Join(t.TempDir(), "null")
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/null", link} {
		got, err := Devices(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Type != "c" || got[0].Major != 1 || got[0].Minor != 3 || got[0].Path != path {
			t.Errorf("%s: got %+v", path, got)
		}
	}
	all, err := Devices("/dev")
	if err != nil || len(all) < 5 {
		t.Errorf("/dev: got %d devices, %v", len(all), err)
	}
	if _, err := Devices("/etc/passwd"); err == nil {
		t.Error("/etc/passwd: no error")
	}
	if _, err := Devices("/dev/not-there"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want not found", err)
	}
}

func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		if _, err := Read(); err != nil {
			b.Fatal(err)
		}
	}
}
