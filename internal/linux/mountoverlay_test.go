package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"berth/internal/testutil"
)

// Both ways to mount a union give the same, whichever this kernel needs.
func TestMountOverlayWays(t *testing.T) {
	testutil.RequireRoot(t)
	appends, err := appendsLayers()
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]func(Overlay) (*os.File, error){"by mount(2)": unionOnThread, "as the kernel can": MountOverlay}
	if appends {
		ways["by lowerdir+"] = func(o Overlay) (*os.File, error) {
			root, err := os.Open(o.Root)
			if err != nil {
				return nil, err
			}
			defer closeFile(t, root)
			return newUnion(o, root)
		}
	}
	for name, mount := range ways {
		t.Run(name, func(t *testing.T) {
			// 130 layers: more than Docker allows, and than names fit a page.
			o := unionOf(t, 130)
			testUnion(t, o, mount)
			o.Upper, o.Work = "", ""
			testReadOnlyUnion(t, o, mount)
			o.Lower[1] = "layers/none"
			if _, err := mount(o); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("mount of a missing layer: %v, want ErrNotExist", err)
			}
		})
	}
}

// unionOf makes layers that each have a file of their own and one that all have.
func unionOf(t *testing.T, layers int) Overlay {
	t.Helper()
	o := Overlay{Root: t.TempDir(), Upper: "upper", Work: "work"}
	for i := range layers {
		name := fmt.Sprintf("layers/%064d", i)
		o.Lower = append(o.Lower, name)
		dir := filepath.Join(o.Root, name)
		err := errors.Join(os.MkdirAll(dir, 0o755),
			os.WriteFile(fmt.Sprintf("%s/of-%d", dir, i), nil, 0o644),
			os.WriteFile(dir+"/all", []byte(fmt.Sprint(i)), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(o.Root+"/upper", 0o755), os.Mkdir(o.Root+"/work", 0o755)); err != nil {
		t.Fatal(err)
	}
	return o
}

func testUnion(t *testing.T, o Overlay, mount func(Overlay) (*os.File, error)) {
	t.Helper()
	union, err := mount(o)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFile(t, union)
	at := fmt.Sprintf("/proc/self/fd/%d/", union.Fd())
	if got, err := os.ReadFile(at + "all"); err != nil || string(got) != "0" {
		t.Errorf("the file of all layers is of layer %q, %v; want the first", got, err)
	}
	if _, err := os.Stat(fmt.Sprintf("%sof-%d", at, len(o.Lower)-1)); err != nil {
		t.Errorf("the last layer is missing: %v", err)
	}
	if err := os.WriteFile(at+"new", nil, 0o644); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(o.Root + "/upper/new"); err != nil {
		t.Errorf("what was written is not in the upper directory: %v", err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), o.Root) {
		t.Errorf("the mount is attached on the host (%v)", err)
	}
}

func testReadOnlyUnion(t *testing.T, o Overlay, mount func(Overlay) (*os.File, error)) {
	t.Helper()
	union, err := mount(o)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFile(t, union)
	err = os.WriteFile(fmt.Sprintf("/proc/self/fd/%d/new", union.Fd()), nil, 0o644)
	if !errors.Is(err, syscall.EROFS) {
		t.Errorf("write to a union without upper directory: %v, want EROFS", err)
	}
}

func closeFile(t *testing.T, f *os.File) {
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
