package lifecycle

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"berth/internal/testutil"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Each way to mount the root, on every kernel: with layers below a detached
// mount (Linux 6.15) and attached in a mount namespace of the keeper's. The
// data root is a shared mount, as the mounts of most hosts are: nothing may
// reach it.
func TestRootfsWays(t *testing.T) {
	testutil.RequireRoot(t)
	for _, ids := range []string{"own", "host"} {
		for _, layers := range []string{"one", "two", "130"} {
			for _, upper := range []bool{true, false} {
				for _, attached := range []bool{true, false} {
					t.Run(fmt.Sprintf("ids=%s,layers=%s,upper=%v,attached=%v", ids, layers, upper, attached), func(t *testing.T) {
						testRootfs(t, ids == "host", layers, upper, attached)
					})
				}
			}
		}
	}
}

func testRootfs(t *testing.T, hostIDs bool, layers string, upper, attached bool) {
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if !attached && !r.detachedLayers {
		t.Skip("this kernel's overlayfs takes no layers from a detached mount (before Linux 6.15)")
	}
	r.detachedLayers = !attached
	a, root := bundle(t)
	shareMount(t, root)
	if hostIDs {
		a.Spec.Linux.Namespaces = slices.DeleteFunc(a.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
		a.Spec.Linux.UIDMappings, a.Spec.Linux.GIDMappings = nil, nil
	}
	a.Rootfs.Lower = rootLayers(t, root, layers)
	want := "1\n0:0\nwritten\n0:0\n"
	if !upper {
		a.Rootfs.Upper, a.Rootfs.Work = "", ""
		a.Spec.Root.Readonly = true
		want = "1\n0:0\nread-only\n"
	}
	a.Spec.Process.Args = []string{"busybox", "sh", "-c", "echo $$; busybox stat -c %u:%g /bin/busybox; if busybox touch /x 2>/tmp/err; then echo written; busybox stat -c %u:%g /x; else echo read-only; fi"}
	a.Spec.Mounts = append(a.Spec.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"})
	c, err := r.Start(t.Context(), a)
	if err != nil {
		text, _ := r.Explain(a)
		t.Fatalf("%v\n%s", err, text)
	}
	defer func() {
		if err := c.Delete(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if n := strings.Count(string(mounts), root+" "); err != nil || n != 1 {
		t.Errorf("%d mounts at the data root on the host, want 1 (%v)", n, err)
	}
	out, err := io.ReadAll(c.IO().Stdout)
	if err != nil || string(out) != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
	if e, err := c.Wait(t.Context()); err != nil || e.Code != 0 {
		t.Errorf("exit %+v, %v", e, err)
	}
	_, err = os.Stat(root + "/upper/x")
	if upper != (err == nil) {
		t.Errorf("the written file in the writable layer: %v", err)
	}
}

// shareMount makes dir a shared mount of its own.
func shareMount(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mount("", dir, "", syscall.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
}

// rootLayers makes layers over that of bundle, which has the programs.
func rootLayers(t *testing.T, root, count string) []string {
	t.Helper()
	for _, dir := range []string{"proc", "sys", "dev", "tmp"} { // a read-only root cannot get them
		if err := os.MkdirAll(root+"/layers/a/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	switch count {
	case "one":
		return []string{"layers/a"}
	case "two":
		return []string{"layers/b", "layers/a"}
	}
	var lower []string
	for i := range 129 {
		lower = append(lower, fmt.Sprintf("layers/%064d", i))
		if err := os.MkdirAll(root+"/"+lower[i], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return append(lower, "layers/a")
}
