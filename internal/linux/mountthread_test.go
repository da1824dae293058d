package linux_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"
	"berth/internal/testutil"
)

func TestMountThreadHidesItsMounts(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	thread, err := linux.NewMountThread(func() error { return syscall.Mount("none", dir, "tmpfs", 0, "size=64k") })
	if err != nil {
		t.Fatal(err)
	}
	defer thread.Close()
	var inside []byte
	thread.Do(func() { inside, err = exec.Command("cat", "/proc/self/mounts").Output() })
	if err != nil || !strings.Contains(string(inside), " "+dir+" tmpfs") {
		t.Errorf("a program of the thread does not see the mount: %v", err)
	}
	outside, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(outside), dir) {
		t.Errorf("the process sees the thread's mount: %v", err)
	}
}
