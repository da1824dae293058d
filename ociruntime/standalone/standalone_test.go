package standalone

import (
	"context"
	"encoding/json"
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

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// container is a bundle with busybox, and a runtime of its own.
type container struct {
	*testing.T
	runtime *Runtime
	dir     string
	id      string
	spec    *specs.Spec
	out     *os.File
}

func newContainer(t *testing.T, args ...string) *container {
	t.Helper()
	testutil.RequireRoot(t)
	dir := t.TempDir()
	c := &container{T: t, dir: dir, id: "berth-test-" + filepath.Base(filepath.Dir(dir)) + "-" + filepath.Base(dir)}
	r, err := Open(Options{Root: dir + "/state", Warn: func(w string) { t.Log("warning: " + w) }})
	if err != nil {
		t.Fatal(err)
	}
	c.runtime = r
	bin := dir + "/rootfs/bin"
	for _, d := range []string{bin, dir + "/rootfs/tmp"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin+"/busybox", busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "cat", "echo", "grep", "id", "kill", "ls", "mount", "ps", "readlink", "sleep", "stty", "test", "touch", "true", "tty", "wc"} {
		if err := os.Symlink("busybox", bin+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	c.spec = testSpec(args)
	t.Cleanup(func() {
		if err := r.Delete(context.Background(), c.id, true); err != nil {
			t.Error(err)
		}
		c.wantNothingLeft()
	})
	return c
}

func testSpec(args []string) *specs.Spec {
	caps := []string{"CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"}
	return &specs.Spec{
		Version: "1.2.0", Hostname: "inside", Root: &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/bin"},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"ro"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.MountNamespace},
				{Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.CgroupNamespace},
			},
			MaskedPaths: []string{"/proc/kcore"}, ReadonlyPaths: []string{"/proc/sys"},
		},
	}
}

// write writes config.json and returns what to create from it.
func (c *container) write() CreateArgs {
	c.Helper()
	c.spec.Linux.CgroupsPath = "/" + c.id
	config, err := json.Marshal(c.spec)
	if err == nil {
		err = os.WriteFile(c.dir+"/config.json", config, 0o644)
	}
	if err != nil {
		c.Fatal(err)
	}
	return CreateArgs{ID: c.id, Bundle: c.dir}
}

// capture lets everything that runs until the end of the test write to a file
// instead of this process's standard output; said is what came.
func (c *container) capture() {
	c.Helper()
	f, err := os.Create(c.dir + "/output")
	if err != nil {
		c.Fatal(err)
	}
	was, in := os.Stdout, os.Stdin
	os.Stdout, c.out = f, f
	if os.Stdin, err = os.Open("/dev/null"); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		_ = errors.Join(f.Close(), os.Stdin.Close()) // only read from here on
		os.Stdout, os.Stdin = was, in
	})
}

func (c *container) said() string {
	c.Helper()
	b, err := os.ReadFile(c.out.Name())
	if err != nil {
		c.Fatal(err)
	}
	return string(b)
}

func (c *container) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *container) wantStatus(want specs.ContainerState) State {
	c.Helper()
	s, err := c.runtime.State(c.id)
	if err != nil || s.Status != want {
		c.Fatalf("state: %q, %v; want %q", s.Status, err, want)
	}
	return s
}

// wantEnd waits until the container has stopped.
func (c *container) wantEnd() {
	c.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if s, err := c.runtime.State(c.id); err == nil && s.Status == specs.StateStopped {
			return
		}
	}
	c.Fatal("the container does not stop")
}

// wantNothingLeft finds what a deleted container has left.
func (c *container) wantNothingLeft() {
	c.Helper()
	entries, err := os.ReadDir(c.dir + "/state")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.Error(err)
	}
	for _, e := range entries {
		if e.Name() != "~seccomp" {
			c.Errorf("left in the state directory: %s", e.Name())
		}
	}
	found, err := filepath.Glob("/sys/fs/cgroup/*/" + c.id)
	if err != nil || len(found) > 0 {
		c.Errorf("left of the cgroup: %v, %v", found, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), c.dir) {
		c.Errorf("a mount is left below %s (%v)", c.dir, err)
	}
}

func TestRun(t *testing.T) {
	c := newContainer(t, "sh", "-c", "id -u; echo $$; cat /proc/self/cgroup | wc -l; ls /proc/self/fd | wc -l; exit 7")
	c.capture()
	code, err := c.runtime.Run(t.Context(), c.write())
	if said := c.said(); code != 7 || err != nil || !strings.HasPrefix(said, "0\n1\n") {
		t.Errorf("exit %d, %v, output %q; want 7, 0 and 1", code, err, said)
	}
	if _, err := c.runtime.State(c.id); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("state after run: %v; want not found", err)
	}
}

func TestLife(t *testing.T) {
	c := newContainer(t, "sleep", "1000")
	c.capture()
	ctx, a := t.Context(), c.write()
	a.PidFile = c.dir + "/pid"
	c.must(c.runtime.Create(ctx, a))
	s := c.wantStatus(specs.StateCreated)
	if pid, err := os.ReadFile(a.PidFile); err != nil || string(pid) != strconv.Itoa(s.Pid) {
		t.Errorf("pid file %q, %v; want %d", pid, err, s.Pid)
	}
	if err := c.runtime.Create(ctx, a); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("second create: %v; want already exists", err)
	}
	c.must(c.runtime.Start(ctx, c.id))
	c.wantStatus(specs.StateRunning)
	if err := c.runtime.Start(ctx, c.id); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("second start: %v", err)
	}
	if err := c.runtime.Delete(ctx, c.id, false); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("delete of a running container: %v", err)
	}
	c.must(c.runtime.Pause(ctx, c.id))
	c.wantStatus(statePaused)
	_, err := c.runtime.Exec(ctx, c.id, ExecArgs{Process: c.process("true")})
	if !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("exec in a paused container: %v", err)
	}
	c.must(c.runtime.Resume(ctx, c.id))
	if ids, err := c.runtime.List(); err != nil || len(ids) != 1 || ids[0].ID != c.id {
		t.Errorf("list: %v, %v", ids, err)
	}
	if pids, err := c.runtime.Pids(c.id); err != nil || !slices.Equal(pids, []int{s.Pid}) {
		t.Errorf("pids %v, %v; want %d", pids, err, s.Pid)
	}
	c.must(c.runtime.Kill(ctx, c.id, syscall.SIGKILL, false))
	c.wantEnd()
	if err := c.runtime.Kill(ctx, c.id, syscall.SIGKILL, false); err == nil || !strings.Contains(err.Error(), "container not running") {
		t.Errorf("kill of a stopped container: %v", err)
	}
	c.must(c.runtime.Delete(ctx, c.id, false))
	if err := c.runtime.Delete(ctx, c.id, false); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("second delete: %v; want not found", err)
	}
}

func (c *container) process(args ...string) *specs.Process {
	p := *c.spec.Process
	p.Args = args
	return &p
}

func TestExec(t *testing.T) {
	c := newContainer(t, "sleep", "1000")
	c.capture()
	ctx, a := t.Context(), c.write()
	a.Detach = true
	_, err := c.runtime.Run(ctx, a)
	c.must(err)
	p := c.process("sh", "-c", "ps | grep -c 'sleep 1000'; id -u; cat; exit 5")
	p.User.UID = 12
	code, err := c.runtime.Exec(ctx, c.id, ExecArgs{Process: p})
	if said := c.said(); code != 5 || err != nil || !strings.HasSuffix(said, "\n12\n") {
		t.Errorf("exit %d, %v, output %q; want 5 and 12", code, err, said)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"not found along PATH": {[]string{"nothing"}, `exec: "nothing": executable file not found in $PATH`},
		"no such file":         {[]string{"/nothing"}, `exec: "/nothing": stat /nothing: no such file or directory`},
		"not executable":       {[]string{"/tmp"}, `exec: "/tmp": permission denied`},
	} {
		if _, err := c.runtime.Exec(ctx, c.id, ExecArgs{Process: c.process(tc.args...)}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q", name, err, tc.want)
		}
	}
	pidFile := c.dir + "/exec.pid"
	_, err = c.runtime.Exec(ctx, c.id, ExecArgs{ProcessArgs: ProcessArgs{Detach: true, PidFile: pidFile}, Process: c.process("sleep", "1001")})
	c.must(err)
	b, err := os.ReadFile(pidFile)
	if err != nil || !processIs(string(b), "sleep\x001001\x00") {
		t.Errorf("pid file of a detached exec: %q, %v", b, err)
	}
	// It is this process's child: until it is reaped its pid namespace cannot end.
	pid, err := strconv.Atoi(string(b))
	c.must(err)
	c.must(syscall.Kill(pid, syscall.SIGKILL))
	_, err = syscall.Wait4(pid, nil, 0, nil)
	c.must(err)
}

func processIs(pid, cmdline string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/cmdline")
	return err == nil && string(b) == cmdline
}

// A command that is not there is found when the container is created, not when
// it starts, and nothing is left.
func TestCreateWithoutCommand(t *testing.T) {
	c := newContainer(t, "nothing")
	err := c.runtime.Create(t.Context(), c.write())
	if err == nil || !strings.Contains(err.Error(), "executable file not found in $PATH") {
		t.Errorf("create: %v", err)
	}
	c.wantNothingLeft()
}

// What fails when all but the last thing is made is undone: here the pid file.
func TestPidFileCannotBeWritten(t *testing.T) {
	c := newContainer(t, "sleep", "1000")
	c.capture()
	children := func() string { // those that other tests have left to be reaped among them
		pids, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
		c.must(err)
		return string(pids)
	}
	before := children()
	for name, do := range map[string]func(CreateArgs) error{
		"create": func(a CreateArgs) error { return c.runtime.Create(t.Context(), a) },
		"run":    func(a CreateArgs) error { a.Detach = true; _, err := c.runtime.Run(t.Context(), a); return err },
	} {
		a := c.write()
		a.PidFile = c.dir + "/missing/pid"
		if err := do(a); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "write the pid file") {
			t.Errorf("%s: %v", name, err)
		}
		c.wantNothingLeft()
		if after := children(); after != before {
			t.Errorf("%s: children were %s, and are %s", name, before, after)
		}
	}
}

// What fails after the start is reported by it: here the command is gone meanwhile.
func TestStartFails(t *testing.T) {
	c := newContainer(t, "/bin/echo")
	c.capture()
	c.must(c.runtime.Create(t.Context(), c.write()))
	c.must(os.Remove(c.dir + "/rootfs/bin/echo"))
	err := c.runtime.Start(t.Context(), c.id)
	if err == nil || !strings.Contains(err.Error(), `exec: "/bin/echo": stat /bin/echo: no such file or directory`) {
		t.Errorf("start: %v", err)
	}
	c.wantEnd()
	c.must(c.runtime.Delete(t.Context(), c.id, false))
}

// Each hook runs at its moment, in its namespaces, with the state it should see.
func TestHooks(t *testing.T) {
	c := newContainer(t, "sh", "-c", "cat /hooks")
	c.capture()
	script := "#!/bin/sh\nread state; echo \"$1 $(readlink /proc/self/ns/mnt) $state\" >> $2\n"
	for _, path := range []string{c.dir + "/hook", c.dir + "/rootfs/hook"} {
		c.must(os.WriteFile(path, []byte(script), 0o755))
	}
	log := c.dir + "/rootfs/hooks"
	hook := func(kind string) []specs.Hook {
		if kind == "startContainer" {
			return []specs.Hook{{Path: "/hook", Args: []string{"hook", kind, "/hooks"}, Env: []string{"PATH=/bin"}}}
		}
		return []specs.Hook{{Path: c.dir + "/hook", Args: []string{"hook", kind, log}, Env: []string{"PATH=/usr/bin:/bin"}}}
	}
	c.spec.Hooks = &specs.Hooks{
		Prestart: hook("prestart"), CreateRuntime: hook("createRuntime"), CreateContainer: hook("createContainer"), //nolint:staticcheck // it is still used
		StartContainer: hook("startContainer"), Poststart: hook("poststart"), Poststop: hook("poststop"),
	}
	code, err := c.runtime.Run(t.Context(), c.write())
	if code != 0 || err != nil {
		t.Fatalf("exit %d, %v", code, err)
	}
	b, err := os.ReadFile(log)
	c.must(err)
	host, err := os.Readlink("/proc/self/ns/mnt")
	c.must(err)
	want := []struct {
		kind, status string
		inside       bool
	}{
		{"prestart", "created", false},
		{"createRuntime", "creating", false},
		{"createContainer", "creating", true},
		{"startContainer", "created", true},
		{"poststart", "running", false},
		{"poststop", "stopped", false},
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != len(want) {
		t.Fatalf("hooks that ran:\n%s", b)
	}
	for i, w := range want {
		f := strings.SplitN(lines[i], " ", 3)
		var s specs.State
		if err := json.Unmarshal([]byte(f[2]), &s); err != nil {
			t.Error(err)
		}
		if f[0] != w.kind || (f[1] != host) != w.inside || string(s.Status) != w.status || s.ID != c.id || w.inside && s.Pid != 1 {
			t.Errorf("hook %d: %s; want %+v", i, lines[i], w)
		}
	}
}

// A hook that fails or takes too long ends the creation and leaves nothing.
func TestHookFails(t *testing.T) {
	second := 1
	for name, tc := range map[string]struct {
		hook specs.Hook
		want string
	}{
		"exits":     {specs.Hook{Path: "/bin/busybox", Args: []string{"sh", "-c", "echo out of luck; exit 3"}}, "createRuntime hook 0, /bin/busybox: exit status 3: out of luck"},
		"hangs":     {specs.Hook{Path: "/bin/busybox", Args: []string{"sleep", "1000"}, Timeout: &second}, "longer than its timeout of 1s"},
		"not there": {specs.Hook{Path: "/nothing"}, "createRuntime hook 0, /nothing: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, "true")
			c.spec.Hooks = &specs.Hooks{
				CreateRuntime: []specs.Hook{tc.hook},
				Poststop:      []specs.Hook{{Path: "/bin/busybox", Args: []string{"touch", c.dir + "/stopped"}}},
			}
			err := c.runtime.Create(t.Context(), c.write())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("create: %v; want %q", err, tc.want)
			}
			c.wantNothingLeft()
			if _, err := os.Stat(c.dir + "/stopped"); err != nil {
				t.Errorf("the poststop hook did not run: %v", err)
			}
		})
	}
}

// The command gets the caller's files and no other.
func TestPreserveFDs(t *testing.T) {
	c := newContainer(t, "sh", "-c", "echo hello >&3; echo $(ls /proc/self/fd)")
	c.capture()
	r, w, err := os.Pipe()
	c.must(err)
	defer r.Close()
	// In a process of tests the number 3 is taken: this moves what is there.
	was, err := syscall.Dup(3)
	c.must(err)
	c.must(syscall.Dup3(int(w.Fd()), 3, syscall.O_CLOEXEC))
	a := c.write()
	a.PreserveFDs = 1
	code, err := c.runtime.Run(t.Context(), a)
	c.must(errors.Join(syscall.Dup3(was, 3, syscall.O_CLOEXEC), syscall.Close(was), w.Close()))
	if code != 0 || err != nil {
		t.Fatalf("exit %d, %v", code, err)
	}
	buf := make([]byte, 10)
	if n, err := r.Read(buf); err != nil || string(buf[:n]) != "hello\n" {
		t.Errorf("through descriptor 3 came %q, %v", buf[:n], err)
	}
	if said := c.said(); said != "0 1 2 3 4\n" { // 4 is that of ls itself
		t.Errorf("open files: %q", said)
	}
}
