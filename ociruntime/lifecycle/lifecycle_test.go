package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"berth/internal/linux"
	"berth/internal/testutil"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func bundle(t testing.TB) (Args, string) {
	t.Helper()
	root := t.TempDir()
	for _, d := range []string{"layers/a/bin", "layers/b/etc", "upper", "work", "run"} {
		if err := os.MkdirAll(root+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bb, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/layers/a/bin/busybox", bb, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"sh", "ps", "id", "mount", "ls", "cat", "sleep", "true", "hostname", "grep", "stty"} {
		if err := os.Symlink("busybox", root+"/layers/a/bin/"+n); err != nil {
			t.Fatal(err)
		}
	}
	caps := []string{"CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL"}
	spec := &specs.Spec{
		Version:  "1.2.0",
		Hostname: "berth-test",
		Process: &specs.Process{
			Args: []string{"true"}, Cwd: "/", Env: []string{"PATH=/usr/bin:/bin"},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Root: &specs.Root{},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath:   "/berth-test/" + filepath.Base(filepath.Dir(root)),
			UIDMappings:   []specs.LinuxIDMapping{{ContainerID: 0, HostID: 600000, Size: 65536}},
			GIDMappings:   []specs.LinuxIDMapping{{ContainerID: 0, HostID: 600000, Size: 65536}},
			Namespaces:    []specs.LinuxNamespace{{Type: "user"}, {Type: "mount"}, {Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "uts"}, {Type: "cgroup"}},
			MaskedPaths:   []string{"/proc/kcore", "/proc/acpi", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/scsi"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	return Args{ID: "test", Spec: spec, RunDir: root + "/run", Rootfs: &linux.Overlay{
		Root: root, Lower: []string{"layers/b", "layers/a"}, Upper: "upper", Work: "work",
	}}, root
}

func TestScene(t *testing.T) {
	testutil.RequireRoot(t)
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := bundle(t)
	a.Spec.Process.Args = []string{"sh", "-c", "id; hostname; ps; cat /proc/self/uid_map; mount; grep CapEff /proc/self/status; exit 7"}
	c, err := r.Start(context.Background(), a)
	if err != nil {
		text, _ := r.Explain(a)
		t.Fatalf("%v\n%s", err, text)
	}
	out, err := io.ReadAll(c.IO().Stdout)
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"uid=0 gid=0", "berth-test\n", "1 0        sh -c", "600000      65536", "overlay on / type overlay (rw", "sysfs on /sys type sysfs (ro", "CapEff:\t00000000000000e1"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
	if errs, err := io.ReadAll(c.IO().Stderr); err != nil || len(errs) > 0 {
		t.Errorf("errors %q, %v", errs, err)
	}
	e, err := c.Wait(context.Background())
	if err != nil || e.Code != 7 {
		t.Errorf("exit %+v, %v", e, err)
	}
	if err := c.Delete(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestExec(t *testing.T) {
	testutil.RequireRoot(t)
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	a, root := bundle(t)
	a.Spec.Process.Args = []string{"sleep", "1000"}
	c, err := r.Start(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Delete(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	for _, tty := range []bool{false, true} {
		dir := fmt.Sprintf("%s/run/exec-%v", root, tty)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		proc := *a.Spec.Process
		proc.Terminal = tty
		proc.Args = []string{"sh", "-c", "hostname; ps; test -t 0 && stty size; exit 3"}
		p, err := c.Exec(context.Background(), ExecArgs{ID: "x", RunDir: dir, Process: &proc, ConsoleWidth: 80, ConsoleHeight: 24})
		if err != nil {
			t.Fatal(err)
		}
		from := p.IO().Stdout
		if tty {
			from = p.IO().Console
		}
		out, err := io.ReadAll(from)
		if err != nil && !(tty && errors.Is(err, syscall.EIO)) { // how a terminal ends
			t.Error(err)
		}
		if !strings.Contains(string(out), "berth-test") || !strings.Contains(string(out), "sleep 1000") || tty != strings.Contains(string(out), "24 80") {
			t.Errorf("terminal %v: output %q", tty, out)
		}
		e, err := p.Wait(context.Background())
		if err != nil || e.Code != 3 {
			t.Errorf("exit %+v, %v", e, err)
		}
		if err := p.Release(); err != nil {
			t.Error(err)
		}
	}
	adopted, err := r.Adopt("test", a.RunDir, a.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := adopted.Signal(9); err != nil {
		t.Error(err)
	}
	if e, err := adopted.Wait(context.Background()); e.Code != 137 || err != nil {
		t.Errorf("adopted exit %+v %v", e, err)
	}
	if err := adopted.Release(); err != nil {
		t.Error(err)
	}
}

// TestExecIsAdopted lets go of all that a daemon has of an exec, as its death
// does: the next one takes it over like a container.
func TestExecIsAdopted(t *testing.T) {
	testutil.RequireRoot(t)
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	a, root := bundle(t)
	a.Spec.Process.Args = []string{"sleep", "1000"}
	c, err := r.Start(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Delete(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	dir := root + "/run/exec"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	proc := *a.Spec.Process
	proc.Args = []string{"sh", "-c", "sleep 1; exit 6"}
	p, err := c.Exec(t.Context(), ExecArgs{ID: "x", RunDir: dir, Process: &proc})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{p.notify, p.io.Stdout, p.io.Stderr} {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again, err := r.Adopt("x", dir, &specs.Spec{Process: &proc, Linux: &specs.Linux{}})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := again.Wait(t.Context()); err != nil || e.Code != 6 {
		t.Errorf("exit: %+v, %v", e, err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
	if _, err := p.child.Wait(); err != nil {
		t.Error(err)
	}
}
