package cgroups

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/linux"
	"berth/internal/testutil"
	"berth/ociruntime/cgroups/stats"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// testRoot keeps the groups of these tests apart from real containers.
const testRoot = "/berth-test"

// TestMain removes the parent of the groups that the tests made.
func TestMain(m *testing.M) {
	code := m.Run()
	if l, err := Detect(); err == nil {
		for _, d := range l.At(testRoot).dirs() {
			_ = os.Remove(d) // another run of these tests may be using it
		}
	}
	os.Exit(code)
}

func ptr[T any](v T) *T { return &v }

// layouts runs f on this host's layout and, on a hybrid
// host, also on its version 1 part alone.
func layouts(t *testing.T, f func(t *testing.T, l Layout)) {
	testutil.RequireRoot(t)
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	t.Run(l.Mode().String(), func(t *testing.T) { f(t, l) })
	if l.Mode() == Hybrid {
		t.Run("v1 part", func(t *testing.T) {
			l.Unified, l.UnifiedControllers = "", nil
			f(t, l)
		})
	}
}

// mustCreate makes a cgroup that is killed and deleted after the test.
func mustCreate(t *testing.T, l Layout, res *specs.LinuxResources) *Cgroup {
	t.Helper()
	c, err := l.create(t.Context(), testRoot+"/"+rand.Text(), res)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(c.Kill(ctx), c.Delete(ctx)); err != nil {
			t.Error(err)
		}
	})
	return c
}

// start runs a shell command inside c. It joins as the runtime's program does:
// it writes "0" for itself, and then becomes the command. (The version 2 group is
// joined by CLONE_INTO_CGROUP.)
func start(t *testing.T, c *Cgroup, script string) *exec.Cmd {
	t.Helper()
	var join strings.Builder
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, j := range c.Joins() {
		if !j.Clone {
			join.WriteString("echo 0 > " + j.Path + " || exit 99\n")
			continue
		}
		dir, err := os.Open(j.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	}
	cmd := exec.Command("/bin/sh", "-c", join.String()+"exec 3>&-\n"+script)
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	joined, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := io.ReadAll(joined); err != nil { // its end is closed after the joins
		t.Fatal(err)
	}
	joined.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it may have been waited for
	})
	return cmd
}

// eventually waits until cond is true.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if err := poll(t.Context(), time.Minute, func() (bool, error) { return cond(), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func (c *Cgroup) readTest(t *testing.T, controller, file string) string {
	t.Helper()
	dir, _ := c.dir(controller)
	s, err := linux.ReadControl(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(s)
}

func TestLimitsReadBack(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		res := &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Reservation: ptr(int64(32 << 20))},
			CPU:    &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(10000)), Cpus: "0"},
			Pids:   &specs.LinuxPids{Limit: ptr(int64(17))},
		}
		if l.SwapAccounting() {
			res.Memory.Swap = ptr(int64(80 << 20))
		}
		c := mustCreate(t, l, res)
		want := []struct{ controller, v1, v1Value, v2, v2Value string }{
			{"memory", "memory.limit_in_bytes", "67108864", "memory.max", "67108864"},
			{"memory", "memory.soft_limit_in_bytes", "33554432", "memory.low", "33554432"},
			{"cpu", "cpu.shares", "512", "cpu.weight", "59"},
			{"cpu", "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000"},
			{"cpu", "cpu.cfs_burst_us", "10000", "cpu.max.burst", "10000"},
			{"cpuset", "cpuset.cpus", "0", "cpuset.cpus", "0"},
			{"pids", "pids.max", "17", "pids.max", "17"},
		}
		for _, w := range want {
			file, value := w.v1, w.v1Value
			if _, v := l.find(w.controller); v == 2 {
				file, value = w.v2, w.v2Value
			}
			if got := c.readTest(t, w.controller, file); got != value {
				t.Errorf("%s = %q, want %q", file, got, value)
			}
		}
	})
}

func TestOOMKilled(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c := mustCreate(t, l, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(8 << 20))}})
		if oom, err := c.OOMKilled(); oom || err != nil {
			t.Fatalf("before: %v %v", oom, err)
		}
		watch, err := c.WatchOOM()
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan error, 2)
		go func() { // ends when the watch is closed
			told <- watch.Next()
			told <- watch.Next()
		}()
		// tail keeps a line that never ends in memory; without swap that kills it.
		cmd := start(t, c, "exec tail /dev/zero")
		err = cmd.Wait()
		if err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("ended with %v, want SIGKILL", err)
		}
		if oom, err := c.OOMKilled(); !oom || err != nil {
			t.Fatalf("after: %v %v", oom, err)
		}
		if err := <-told; err != nil {
			t.Errorf("the watch: %v", err)
		}
		if err := watch.Close(); err != nil {
			t.Error(err)
		}
		if err := <-told; err == nil {
			t.Error("there was one kill, and the watch tells of two")
		}
	})
}

func TestPidsLimit(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c := mustCreate(t, l, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(2))}})
		cmd := start(t, c, "(sleep 0; sleep 0) 2>/dev/null & wait $!; exit 7")
		_ = cmd.Wait() // the exit status is looked at
		if code := cmd.ProcessState.ExitCode(); code != 7 && code != 2 {
			t.Fatalf("exit %d", code)
		}
		cmd = start(t, c, "exec 2>/dev/null; sleep 5 & sleep 5 & wait")
		_ = cmd.Wait() // dash exits with 2 when it cannot fork
		if code := cmd.ProcessState.ExitCode(); code != 2 {
			t.Fatalf("a third process could be made (exit %d)", code)
		}
	})
}

func TestPauseAndKill(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c := mustCreate(t, l, nil)
		cmd := start(t, c, "while :; do :; done")
		eventually(t, "joined", func() bool { pids, _ := c.Pids(); return len(pids) == 1 })
		if err := c.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if paused, err := c.Paused(); !paused || err != nil {
			t.Fatalf("paused: %v %v", paused, err)
		}
		if err := c.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Resume(t.Context()); err != nil {
			t.Fatalf("again: %v", err)
		}
		if err := c.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Kill(t.Context()); err != nil { // frozen
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("ended with %v, want SIGKILL", err)
		}
	})
}

func TestDeleteLeavesNothing(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c, err := l.create(t.Context(), testRoot+"/"+rand.Text(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range c.dirs() { // as processes inside may do
			if err := os.MkdirAll(d+"/a/b", 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := start(t, c, "sleep 100 & sleep 100")
		eventually(t, "joined", func() bool { pids, _ := c.Pids(); return len(pids) >= 2 })
		if _, err := l.create(t.Context(), c.Path(), nil); !errors.Is(err, errdefs.ErrAlreadyExists) {
			t.Errorf("create over a running one: %v", err)
		}
		if pids, _ := c.Pids(); len(pids) < 2 {
			t.Errorf("the running one was harmed: %v", pids)
		}
		if err := c.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if err := c.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, d := range c.dirs() {
			if exists(d) {
				t.Errorf("%s is left", d)
			}
		}
		if err := c.Delete(t.Context()); err != nil {
			t.Errorf("again: %v", err)
		}
		if _, err := l.open(c.Path()); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("open after delete: %v", err)
		}
	})
}

func TestDeleteNamesProcesses(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c := mustCreate(t, l, nil)
		start(t, c, "exec sleep 100")
		eventually(t, "joined", func() bool { pids, _ := c.Pids(); return len(pids) == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := c.Delete(ctx); !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), "still inside") {
			t.Fatal(err)
		}
	})
}

// A container must not make the host run a program (CVE-2022-0492): its groups
// have no release_agent, announce no release, and belong to the host's root,
// which no user of the container is.
func TestSecurity19ReleaseAgent(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		for _, d := range mustCreate(t, l, nil).Dirs() {
			if exists(d.Path + "/release_agent") {
				t.Errorf("%s has a release_agent", d.Path)
			}
			if n, err := stats.Number(d.Path + "/notify_on_release"); n != 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s announces its release: %d %v", d.Path, n, err)
			}
			for _, file := range []string{"", "/cgroup.procs", "/tasks", "/notify_on_release"} {
				st, err := os.Stat(d.Path + file)
				if errors.Is(err, os.ErrNotExist) {
					continue // version 2 has no tasks
				}
				if err != nil {
					t.Fatal(err)
				}
				if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 0 || st.Mode().Perm()&0o022 != 0 {
					t.Errorf("%s%s: owner %d, mode %v", d.Path, file, sys.Uid, st.Mode())
				}
			}
		}
	})
}
