package facts_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"berth/internal/testutil"
	"berth/ociruntime/standalone"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A tmpfs that begins with what the image, or a bind before it, has there.
func TestCopyUp(t *testing.T) {
	testutil.RequireRoot(t)
	const base = 600000
	for name, ids := range map[string]uint32{"host's users": 0, "own users": base} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root := dir + "/rootfs"
			for _, d := range []string{"bin", "out", "data/deep", "bound", "closed", "proc"} {
				if err := os.MkdirAll(root+"/"+d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			bb, err := os.ReadFile("/bin/busybox")
			if err != nil {
				t.Fatal(err)
			}
			for f, text := range map[string]string{"bin/busybox": string(bb), "data/f": "image", "data/deep/g": "deep"} {
				if err := os.WriteFile(root+"/"+f, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(dir+"/src/sub", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/src/sub/h", []byte("bound"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/etc/passwd", root+"/data/link"); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(root+"/data", 0o750|os.ModeSticky); err != nil {
				t.Fatal(err)
			}
			if err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return os.Lchown(p, int(ids), int(ids))
			}); err != nil {
				t.Fatal(err)
			}
			if err := os.Lchown(root+"/data/f", int(ids)+3, int(ids)+4); err != nil {
				t.Fatal(err)
			}
			spec := &specs.Spec{
				Version: "1.2.0", Root: &specs.Root{Path: "rootfs"},
				Process: &specs.Process{Cwd: "/", Args: []string{"/bin/busybox", "sh", "-c", "exec > /out/o 2>&1; /bin/busybox stat -c '%n %a %u:%g' /data /data/f /data/new /closed /none; " +
					"/bin/busybox cat /data/f /data/deep/g /bound/sub/h; /bin/busybox readlink /data/link; echo x > /data/deep/g; echo y > /ro/f; /bin/busybox grep -c ' tmpfs ' /proc/mounts"}},
				Mounts: []specs.Mount{
					{Destination: "/proc", Type: "proc", Source: "proc"},
					{Destination: "/out", Source: dir + "/src", Options: []string{"bind"}},
					{Destination: "/data", Type: "tmpfs", Options: []string{"tmpcopyup", "size=1m"}},
					{Destination: "/bound", Source: dir + "/src", Options: []string{"rbind"}},
					{Destination: "/bound/sub", Type: "tmpfs", Options: []string{"tmpcopyup"}},
					{Destination: "/closed", Type: "tmpfs", Options: []string{"tmpcopyup", "mode=701", "uid=5"}},
					{Destination: "/none", Type: "tmpfs", Options: []string{"tmpcopyup"}},
					{Destination: "/data/new", Type: "tmpfs", Options: []string{"mode=700"}},
					{Destination: "/ro", Type: "tmpfs", Options: []string{"tmpcopyup", "ro"}},
				},
				Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}}},
			}
			if ids != 0 {
				spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
				spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: ids, Size: 65536}}
				spec.Linux.GIDMappings = spec.Linux.UIDMappings
			}
			text, err := json.Marshal(spec)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/config.json", text, 0o644); err != nil {
				t.Fatal(err)
			}
			r, err := standalone.Open(standalone.Options{Root: dir + "/state"})
			if err != nil {
				t.Fatal(err)
			}
			args := standalone.CreateArgs{ID: "copyup-" + filepath.Base(filepath.Dir(dir)), Bundle: dir}
			if code, err := r.Run(t.Context(), args); code != 0 || err != nil {
				t.Errorf("run: %d, %v", code, err)
			}
			got, err := os.ReadFile(dir + "/src/o")
			want := "/data 1750 0:0\n/data/f 755 3:4\n/data/new 700 0:0\n/closed 701 0:0\n/none 1777 0:0\n" +
				"imagedeepbound/etc/passwd\nsh: can't create /ro/f: Read-only file system\n6\n"
			if err != nil || strings.ReplaceAll(string(got), "line 0: ", "") != want {
				t.Errorf("got:\n%s(%v)\nwant:\n%s", got, err, want)
			}
			if left, err := os.ReadFile(root + "/data/deep/g"); err != nil || string(left) != "deep" {
				t.Errorf("the image's file became %q, %v", left, err)
			}
			if st, err := os.Stat(root + "/data/f"); err != nil || st.Sys().(*syscall.Stat_t).Uid != ids+3 {
				t.Errorf("the image's file: %+v, %v", st, err)
			}
		})
	}
}
