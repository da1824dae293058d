package linux

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestDeviceOf(t *testing.T) {
	for path, want := range map[string]Device{
		"/dev/null": {Major: 1, Minor: 3, Mode: 0o666},
		"/dev/zero": {Major: 1, Minor: 5, Mode: 0o666},
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := DeviceOf(info)
		got.Mode |= want.Mode // which some sandboxes narrow
		if !ok || got.Block || got.Major != want.Major || got.Minor != want.Minor {
			t.Errorf("%s: got %+v, %t", path, got, ok)
		}
	}
	info, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := DeviceOf(info); ok {
		t.Error("a directory is taken for a device")
	}
}

func TestKernelRelease(t *testing.T) {
	major, minor, err := KernelRelease()
	if err != nil || major < 5 {
		t.Errorf("got %d.%d, %v", major, minor, err)
	}
}

func TestIsCgroup2(t *testing.T) {
	if got, err := IsCgroup2(t.TempDir()); got || err != nil {
		t.Errorf("a directory: %t, %v", got, err)
	}
	if _, err := IsCgroup2("/not/there"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestLoadSeccompRefuses checks what must not reach the kernel. That a filter
// works is tested where filters are made.
func TestLoadSeccompRefuses(t *testing.T) {
	for name, program := range map[string][]byte{"empty": nil, "half an instruction": make([]byte, 12), "too long": make([]byte, 8*4097)} {
		if _, err := LoadSeccomp(program, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// An instruction that is none: the kernel refuses it, the thread stays free.
	if _, err := LoadSeccomp([]byte{0xff, 0xff, 0, 0, 0, 0, 0, 0}, 0); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.EACCES) {
		t.Errorf("got %v", err)
	}
}
