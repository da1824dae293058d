package cgroups

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/internal/testutil"
	"berth/ociruntime/cgroups/limit"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fill makes dir with the given files.
func fill(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(dir+"/"+name, []byte(data), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func mustRead(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// makeFor is Place and Make.
func (l Layout) makeFor(ctx context.Context, a Args) (*Cgroup, error) {
	c, err := l.placeFor(ctx, a)
	if err != nil {
		return nil, err
	}
	return c, c.Make(ctx)
}

func mustMake(t *testing.T, l Layout, a Args) *Cgroup {
	t.Helper()
	c, err := l.makeFor(t.Context(), a)
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

func TestMakeAtRelativePath(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		id := "berth-test-" + rand.Text()
		for _, p := range []string{"", id + "/rel"} {
			c := mustMake(t, l, Args{Path: p, ID: id, Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}}})
			if p != "" {
				t.Cleanup(func() {
					for _, d := range c.dirs() {
						_ = os.Remove(path.Dir(d)) // the parent stays
					}
				})
			}
			if got := c.readTest(t, "pids", "pids.max"); got != "7" {
				t.Errorf("%q: pids.max %s", p, got)
			}
			if err := start(t, c, "exit 0").Wait(); err != nil {
				t.Errorf("%q: %v", p, err)
			}
		}
	})
}

func TestExistingCgroupIsUsedIfEmpty(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		before := mustCreate(t, l, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}})
		c, err := l.makeFor(t.Context(), Args{Path: before.Path(), Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(512))}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.readTest(t, "pids", "pids.max"); got != "5" {
			t.Errorf("what was set before is lost: %s", got)
		}
		if err := c.Abandon(t.Context()); err != nil || !before.exists() {
			t.Fatalf("what was there before is gone: %v", err)
		}
		// A limit that fails leaves it too.
		if _, err := l.makeFor(t.Context(), Args{Path: before.Path(), Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}}); err == nil || !before.exists() {
			t.Fatal(err)
		}
		if err := before.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := l.makeFor(t.Context(), Args{Path: before.Path()}); !errors.Is(err, errdefs.ErrAlreadyExists) || !strings.Contains(err.Error(), "frozen") {
			t.Errorf("frozen: %v", err)
		}
		if err := before.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		start(t, before, "exec sleep 100")
		eventually(t, "joined", func() bool { pids, _ := before.Pids(); return len(pids) == 1 })
		if _, err := l.makeFor(t.Context(), Args{Path: before.Path()}); !errors.Is(err, errdefs.ErrAlreadyExists) {
			t.Errorf("in use: %v", err)
		}
		if _, err := l.makeFor(t.Context(), Args{Path: path.Dir(before.Path())}); !errors.Is(err, errdefs.ErrAlreadyExists) {
			t.Errorf("in use below: %v", err)
		}
	})
}

// Without rules of its own a container may use the standard devices and no others.
func TestMakeAllowsOnlyStandardDevices(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		if l.Mode() == V1 && l.version("devices") == 0 {
			return
		}
		c := mustMake(t, l, Args{Path: testRoot + "/" + rand.Text()})
		script := "cd " + t.TempDir() + "\ncat /dev/null && mknod r c 1 11 || exit 10\n(: < r) 2>/dev/null && exit 11\nexit 0"
		if err := start(t, c, script).Wait(); err != nil {
			t.Error(err)
		}
	})
}

func (l Layout) version(controller string) int { _, v := l.find(controller); return v }

// An exec joins where the container's init is, if that moved on.
func TestExecFollowsInit(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c := mustMake(t, l, Args{Path: testRoot + "/" + rand.Text()})
		init := start(t, c, "exec sleep 100")
		joins, err := c.ExecJoins(nil, init.Process.Pid)
		if err != nil || !slices.Equal(joins, c.Joins()) {
			t.Fatalf("%v %v", joins, err)
		}
		if c.unified == "" {
			return
		}
		inner := c.unified + "/inner"
		for _, step := range []func() error{
			func() error { return os.Mkdir(inner, 0o755) },
			func() error { return os.WriteFile(inner+"/cgroup.procs", []byte(strconv.Itoa(init.Process.Pid)), 0) },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		offered := strings.Fields(mustRead(t, c.unified+"/cgroup.controllers"))
		want := c.unified
		if len(offered) > 0 {
			if err := os.WriteFile(c.unified+"/cgroup.subtree_control", []byte("+"+offered[0]), 0); err != nil {
				t.Fatal(err)
			}
			want = inner
		}
		joins, err = c.ExecJoins(nil, init.Process.Pid)
		if err != nil || joins[len(joins)-1].Path != want {
			t.Fatalf("%v %v, want %s", joins, err, want)
		}
		files, err := c.OpenJoins(joins[len(joins)-1:])
		if err != nil {
			t.Fatal(err)
		}
		defer files[0].Close()
		exec := exec.Command("sleep", "100")
		exec.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(files[0].Fd()), Pdeathsig: syscall.SIGKILL}
		if err := exec.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = exec.Process.Kill() // the test is over
			_ = exec.Wait()         // killed
		}()
		pids, err := c.Pids()
		if err != nil || !slices.Contains(pids, exec.Process.Pid) {
			t.Errorf("%v %v", pids, err)
		}
		if sub, err := c.ExecJoins([]string{"inner"}, init.Process.Pid); len(c.v1) == 0 && (err != nil || sub[0].Path != inner) {
			t.Errorf("%v %v", sub, err)
		}
	})
}

func TestDestroy(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		for _, running := range []bool{false, true} {
			c, err := l.makeFor(t.Context(), Args{Path: testRoot + "/" + rand.Text()})
			if err != nil {
				t.Fatal(err)
			}
			reaped := make(chan struct{})
			if !running {
				close(reaped)
			} else {
				cmd := start(t, c, "sleep 100 & exec sleep 100")
				go func() { // ends when Destroy has killed it
					_ = cmd.Wait()
					close(reaped)
				}()
				eventually(t, "joined", func() bool { pids, _ := c.Pids(); return len(pids) == 2 })
			}
			if err := c.Destroy(t.Context()); err != nil || c.exists() {
				t.Errorf("running %v: %v", running, err)
			}
			<-reaped
			if err := c.Destroy(t.Context()); err != nil {
				t.Errorf("again: %v", err)
			}
		}
	})
}

// A user to whom a version 2 cgroup was delegated makes containers below it.
func TestDelegated(t *testing.T) {
	testutil.RequireRoot(t)
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if l.Unified == "" {
		t.Skip("no cgroup v2 hierarchy is mounted")
	}
	const user = 65534
	l.V1 = nil // what is delegated of it is nothing
	top := mustCreate(t, l, nil)
	if err := top.enable(nil, []limit.Setting{}); err != nil {
		t.Fatal(err)
	}
	leaf := l.At(top.Path() + "/own")
	if err := leaf.Make(t.Context()); err != nil { // enables the controllers in top
		t.Fatal(err)
	}
	for _, c := range []*Cgroup{top, leaf} {
		if err := c.chown(user); err != nil {
			t.Fatal(err)
		}
	}
	program := t.TempDir() + "/test" // where the user can reach it
	self, err := os.ReadFile(os.Args[0])
	if err := errors.Join(err, os.WriteFile(program, self, 0o755), os.Chmod(filepath.Dir(path.Dir(program)), 0o755)); err != nil {
		t.Fatal(err)
	}
	files, err := leaf.OpenJoins(leaf.Joins())
	if err != nil {
		t.Fatal(err)
	}
	defer files[0].Close()
	cmd := exec.Command(program, "-test.run=^TestAsDelegate$", "-test.v")
	cmd.Env, cmd.Dir = append(os.Environ(), "BERTH_CGROUP_DELEGATE=1"), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(files[0].Fd()), Credential: &syscall.Credential{Uid: user, Gid: user}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAsDelegate is the other half of TestDelegated.
func TestAsDelegate(t *testing.T) {
	if os.Getenv("BERTH_CGROUP_DELEGATE") == "" {
		return
	}
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	l.V1 = nil
	a := Args{ID: "berth-test-" + rand.Text()}
	limited := slices.Contains(l.UnifiedControllers, "pids")
	if limited {
		a.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}, Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}}
	}
	c := mustMake(t, l, a)
	if c.None() {
		t.Fatal("no cgroup was made")
	}
	if limited {
		if got := c.readTest(t, "pids", "pids.max"); got != "7" {
			t.Errorf("pids.max %s", got)
		}
	}
	cmd := start(t, c, "exec sleep 100")
	eventually(t, "joined", func() bool { pids, _ := c.Pids(); return len(pids) == 1 })
	if err := errors.Join(c.Pause(t.Context()), c.Resume(t.Context()), c.Kill(t.Context())); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed
}

// A cgroup file system that is read-only, as in a container, is as good as none.
func TestReadOnly(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		script := "set -e\n"
		for _, m := range l.mounts() {
			script += "mount -o remount,bind,ro " + m + "\n"
		}
		cmd := exec.Command("unshare", "--mount", "sh", "-c", script+"exec "+os.Args[0]+" -test.run='^TestAsReadOnly$' -test.v")
		cmd.Env = append(os.Environ(), "BERTH_CGROUP_READONLY="+l.Mode().String())
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestAsReadOnly is the other half of TestReadOnly.
func TestAsReadOnly(t *testing.T) {
	mode := os.Getenv("BERTH_CGROUP_READONLY")
	if mode == "" {
		return
	}
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if mode == "v1" {
		l.Unified, l.UnifiedControllers = "", nil
	}
	if c, err := l.makeFor(t.Context(), Args{ID: "berth-test-ro"}); err != nil || !c.None() {
		t.Errorf("no path, no limit: %v %v", c, err)
	}
	var bad *LimitError
	_, err = l.makeFor(t.Context(), Args{ID: "berth-test-ro", Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}}})
	if !errors.As(err, &bad) || bad.Flag != "--pids-limit" {
		t.Errorf("a limit: %v", err)
	}
	if _, err := l.makeFor(t.Context(), Args{Path: testRoot + "-ro/x"}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a path: %v", err)
	}
}

// What is given by file is written there, whoever knows the file, and its
// controller is enabled; one that the host does not have is an error.
func TestUnified(t *testing.T) {
	testutil.RequireRoot(t)
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if l.Unified == "" {
		t.Skip("no cgroup v2 hierarchy is mounted")
	}
	c := mustMake(t, l, Args{Path: testRoot + "/" + rand.Text(), Resources: &specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "3", "cgroup.max.descendants": "7\n"}}})
	for file, want := range map[string]string{"cgroup.max.depth": "3", "cgroup.max.descendants": "7"} {
		if got := strings.TrimSpace(mustRead(t, c.unified+"/"+file)); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
	if l.offers("hugetlb") { // nobody else enables it
		sizes, err := filepath.Glob("/sys/kernel/mm/hugepages/hugepages-2048kB")
		if err != nil {
			t.Fatal(err)
		}
		for range sizes {
			c := mustMake(t, l, Args{Path: testRoot + "/" + rand.Text(), Resources: &specs.LinuxResources{Unified: map[string]string{"hugetlb.2MB.max": "4194304"}}})
			if got := strings.TrimSpace(mustRead(t, c.unified+"/hugetlb.2MB.max")); got != "4194304" {
				t.Errorf("hugetlb.2MB.max %s", got)
			}
		}
	}
	for _, file := range []string{"nosuch.max", "cgroup.nosuch"} {
		_, err := l.makeFor(t.Context(), Args{Path: testRoot + "/" + rand.Text(), Resources: &specs.LinuxResources{Unified: map[string]string{file: "1"}}})
		var bad *LimitError
		if !errors.As(err, &bad) || bad.Flag != "unified."+file {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Another user's cgroup cannot be made, and none is needed without limits.
func TestWithoutPermission(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		program := t.TempDir() + "/test" // where the user can reach it
		self, err := os.ReadFile(os.Args[0])
		if err := errors.Join(err, os.WriteFile(program, self, 0o755), os.Chmod(filepath.Dir(path.Dir(program)), 0o755)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "-test.run=^TestAsUser$")
		cmd.Env = append(os.Environ(), "BERTH_CGROUP_USER="+l.Mode().String())
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestAsUser is the other half of TestWithoutPermission.
func TestAsUser(t *testing.T) {
	mode := os.Getenv("BERTH_CGROUP_USER")
	if mode == "" {
		return
	}
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if mode == "v1" {
		l.Unified, l.UnifiedControllers = "", nil
	}
	if c, err := l.makeFor(t.Context(), Args{ID: "berth-test-user"}); err != nil || !c.None() {
		t.Errorf("no path, no limit: %v %v", c, err)
	}
	_, err = l.makeFor(t.Context(), Args{ID: "berth-test-user", Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}}})
	var bad *LimitError
	if !errors.As(err, &bad) || bad.Flag != "--pids-limit" || !errors.Is(err, errdefs.ErrPermissionDenied) || !strings.Contains(err.Error(), "Delegate") {
		t.Errorf("no path, a limit: %v", err)
	}
	if _, err := l.makeFor(t.Context(), Args{Path: testRoot + "-user/x"}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a path: %v", err)
	}
}
