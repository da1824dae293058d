package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/ociruntime/lifecycle"
)

// keeperRSS is a process's resident memory in kB.
func keeperRSS(t *testing.T, pid int) (kB int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kB); err == nil {
			return kB
		}
	}
	t.Fatalf("no VmRSS in %s", b)
	return 0
}

// TestKeeperIsSmall holds the keeper to 64 kB of resident memory, with the
// default profile and an environment of several kB.
func TestKeeperIsSmall(t *testing.T) {
	b := newBox(t, "sleep 1000")
	b.config.Env = append(b.config.Env, "LONG="+strings.Repeat("x", 8000))
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	kB := keeperRSS(t, c.Keeper())
	for end := time.Now().Add(10 * time.Second); kB > 64 && time.Now().Before(end); {
		kB = keeperRSS(t, c.Keeper()) // it lets go of its steps once the command runs
	}
	if kB > 64 {
		t.Errorf("the keeper has %d kB resident, want at most 64", kB)
	}
}

// TestKeeperOutlivesTheDaemon lets the daemon's ends go, as its death does,
// while the container writes, and takes the container over again.
func TestKeeperOutlivesTheDaemon(t *testing.T) {
	b := newBox(t, "echo first; read x < /tmp/go; echo second; exit 17")
	if err := syscall.Mkfifo(b.image+"/tmp/go", 0o666); err != nil {
		t.Fatal(err)
	}
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	closeIO(c.IO())
	// It may be killed when the container ends, before it can end itself.
	if r := b.mustExec("echo > /tmp/go", nil); r.code != 0 && r.code != 137 {
		t.Errorf("exec exits with %d: %s", r.code, r.out)
	}

	r, err := machine()
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.args()
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.Adopt(b.id, a.RunDir, a.Spec)
	if err != nil {
		t.Fatal(err)
	}
	collect(t, again.Process).want(t, 17, "first\nsecond\n")
	if err := again.Release(); err != nil {
		t.Error(err)
	}
	closeIO(again.IO())
	gone, err := r.Adopt(b.id, a.RunDir, a.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := gone.Wait(context.Background()); err != nil || e.Code != 17 {
		t.Errorf("exit from the record: %+v, %v", e, err)
	}
}

// TestContainerDiesWithItsKeeper kills the keeper: nobody could record the end.
func TestContainerDiesWithItsKeeper(t *testing.T) {
	b := newBox(t, "sleep 1000")
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(c.Keeper(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e, err := c.Wait(t.Context())
	if err != nil || e.Signal != syscall.SIGKILL {
		t.Errorf("exit %+v, %v", e, err)
	}
}

// TestStartLeavesNothing counts what is there before and after containers that
// run, fail to start, and are killed.
func TestStartLeavesNothing(t *testing.T) {
	run := func() {
		for _, script := range []string{"true", "exit 3", "kill -9 1"} {
			b := newBox(t, script)
			c, err := b.start()
			if err != nil {
				t.Fatal(err)
			}
			collect(t, c.Process)
			finish(t, c)
		}
		b := newBox(t, "")
		b.config.WorkingDir = "/etc/passwd"
		if _, err := b.start(); err == nil {
			t.Fatal("started")
		}
		b = newBox(t, "sleep 1000")
		c, err := b.start()
		if err != nil {
			t.Fatal(err)
		}
		finish(t, c)
	}
	run() // what is made once is not left behind
	before := census(t)
	for range 5 {
		run()
	}
	if after := census(t); after != before {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func finish(t *testing.T, c *lifecycle.Container) {
	t.Helper()
	if err := c.Delete(context.Background()); err != nil {
		t.Error(err)
	}
	closeIO(c.IO())
}

// counts is what a container could leave on the host.
type counts struct{ files, mounts, children, cgroups int }

func census(t *testing.T) counts {
	t.Helper()
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	mounts := 0 // of this test: others may mount meanwhile, engines with layers by their whole paths
	for _, line := range strings.Split(string(mountinfo), "\n") {
		if strings.Contains(line, t.Name()) || strings.Contains(line, "overlay") && !strings.Contains(line, "lowerdir=/") {
			mounts++
		}
	}
	entries := func(dir string) int {
		e, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return len(e)
	}
	children := 0
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			continue // the thread has ended
		}
		children += len(strings.Fields(string(b)))
	}
	cgroups := 0
	for _, dir := range []string{"/sys/fs/cgroup/memory/berth-test", "/sys/fs/cgroup/unified/berth-test", "/sys/fs/cgroup/berth-test"} {
		groups, err := filepath.Glob(dir + "/" + idPrefix() + "*")
		if err != nil {
			t.Fatal(err)
		}
		cgroups += len(groups)
	}
	return counts{entries("/proc/self/fd"), mounts, children, cgroups}
}

// TestStartIsCancelled cancels starts at every moment: each starts or leaves nothing.
func TestStartIsCancelled(t *testing.T) {
	r, err := machine()
	if err != nil {
		t.Fatal(err)
	}
	started, cancelled := 0, 0
	for i := range 60 {
		b := newBox(t, "sleep 1000")
		a, err := b.args()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
		c, err := r.Start(ctx, a)
		cancel()
		if err == nil {
			started++
			finish(t, c)
			continue
		}
		cancelled++
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("start: %v", err)
		}
		if left, err := os.ReadDir(a.RunDir); err != nil || len(left) > 0 {
			t.Errorf("run directory has %v (%v)", left, err)
		}
	}
	t.Logf("%d started, %d cancelled", started, cancelled)
	if cancelled == 0 {
		t.Error("none was cancelled")
	}
}

// TestSetuidProgramDiesWithItsKeeper has a command that the kernel does not
// kill with its parent (PR_SET_PDEATHSIG(2const)).
func TestSetuidProgramDiesWithItsKeeper(t *testing.T) {
	b := newBox(t, "")
	busybox, err := os.ReadFile(b.image + "/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	b.write("sleep", string(busybox))
	if err := errors.Join(os.Chown(b.image+"/sleep", 1001, 1001), syscall.Chmod(b.image+"/sleep", 0o4755)); err != nil {
		t.Fatal(err)
	}
	b.config.Cmd, b.user.UID = []string{"/sleep", "1000"}, 1000
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(c.Keeper(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Wait(t.Context()); err != nil || e.Signal != syscall.SIGKILL {
		t.Errorf("exit %+v, %v", e, err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		if c.Signal(0) != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("it still runs")
		}
	}
}

// TestPidUsedAgain has a container whose init was reaped while no daemon ran,
// and a stranger that has its pid since.
func TestPidUsedAgain(t *testing.T) {
	b := newBox(t, "exit 4")
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	collect(t, c.Process).want(t, 4)
	stranger, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	record := fmt.Sprintf(`{"keeper": %d,"init": %d}`, c.Keeper(), stranger.Pid)
	if err := os.WriteFile(b.root+"/run/keeper", []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := machine()
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.args()
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.Adopt(b.id, a.RunDir, a.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	closeIO(again.IO())
	// A kill by Delete comes first: of two signals that end a process the one sent first counts.
	if err := stranger.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	state, err := stranger.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if ws := state.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGTERM {
		t.Errorf("the stranger ended by %v", ws.Signal())
	}
}
