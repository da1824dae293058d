package dropin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/test/berthtest"
)

// poll waits until f returns nil.
func poll(f func() error) error { return berthtest.Poll(f) }

// pollCommand is poll for an f that runs commands: it leaves the machine some time.
func pollCommand(f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), berthtest.Limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// counted fails the test with err, unless the kernel has a hierarchy of cgroups
// that is mounted only elsewhere: then containerd and conmon count nothing.
func counted(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if missing := unmounted(t); missing != "" {
		t.Skipf("%s is not mounted in /sys/fs/cgroup, which the engines' own code does not take: %v", missing, err)
	}
	t.Error(err)
}

// unmounted is a controller whose hierarchy is mounted only elsewhere, or "".
func unmounted(t *testing.T) string {
	t.Helper()
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(strings.TrimSpace(string(groups)), "\n") {
		f := strings.SplitN(l, ":", 3)
		for _, controller := range strings.Split(f[1], ",") {
			dir := "/sys/fs/cgroup/" + strings.TrimPrefix(controller, "name=")
			if _, err := os.Stat(dir + "/cgroup.procs"); controller != "" && err != nil {
				return controller
			}
		}
	}
	return ""
}

// pidOf is a container's init on the host.
func pidOf(t *testing.T, e *engine, id string) string {
	t.Helper()
	return e.inspect(t, id, ".State.Pid")
}

// cgroupsOf are the cgroups of a container's init by controllers; "" is version 2.
func cgroupsOf(t *testing.T, e *engine, id string) map[string]string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + pidOf(t, e, id) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, l := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if f := strings.SplitN(l, ":", 3); len(f) == 3 {
			all[f[1]] = f[2]
		}
	}
	return all
}

// limit reads a limit of a container from its cgroup: the name of version 1 or 2.
func limit(t *testing.T, e *engine, id, controller, v1, v2 string) string {
	t.Helper()
	all := cgroupsOf(t, e, id)
	path := "/sys/fs/cgroup/" + controller + all[controller] + "/" + v1
	if _, ok := all[controller]; !ok {
		path = "/sys/fs/cgroup" + all[""] + "/" + v2
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func testLimits(t *testing.T, e *engine) {
	id := e.start(t, []string{
		"--memory", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--cpu-shares", "512",
		"--pids-limit", "50", "--cpuset-cpus", "0",
	}, "sleep", "1000")
	for _, c := range []struct{ controller, v1, v2, want string }{
		{"memory", "memory.limit_in_bytes", "memory.max", "67108864"},
		{"cpu", "cpu.cfs_quota_us", "cpu.max", "50000|50000 100000"},
		{"cpu", "cpu.shares", "cpu.weight", "512|20|59"},
		{"pids", "pids.max", "pids.max", "50"},
		{"cpuset", "cpuset.cpus", "cpuset.cpus", "0"},
	} {
		matches(t, c.v1, limit(t, e, id, c.controller, c.v1, c.v2), c.want)
	}
	// The container sees its own limits.
	expect(t, e.try(t, "exec", id, "sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max"), 0, "67108864")
	expect(t, e.try(t, "exec", id, "sh", "-c", "for f in /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max; do test -e $f && echo 0 > $f; done; echo $?"), 0, "1")
}

func testOutOfMemory(t *testing.T, e *engine) {
	script := "tail /dev/zero"
	if e.name == "podman" {
		// conmon must have the time to look.
		script += "; code=$?; sleep 0.5; exit $code"
	}
	id := e.container(t, "create", []string{"--memory", "16m", "--memory-swap", "16m"}, "sh", "-c", script)
	if r := e.try(t, "start", "-a", id); r.code != 137 {
		t.Errorf("want exit code 137: %v", r)
	}
	e.until(t, id, ".State.ExitCode", "137")
	counted(t, pollCommand(func() error {
		if e.inspect(t, id, ".State.OOMKilled") == "true" {
			return nil
		}
		// Debian's conmon leaves the mark in its working directory, where its
		// Podman does not look.
		if _, err := os.Stat(e.path("oom")); e.name == "podman" && err == nil {
			return nil
		}
		return errText("the engine did not learn of the kill for lack of memory")
	}))
}

func testPrivileged(t *testing.T, e *engine) {
	if e.name == "docker" {
		peerLacks(t, "Docker asks for CAP_SYS_RESOURCE also where nobody has it")
	}
	r := e.run(t, `grep -E '^Cap(Eff|Bnd)' /proc/self/status | cut -f 2; mount -t tmpfs none /tmp && echo mounted
		grep Seccomp: /proc/self/status; ls /dev | wc -l; test -e /dev/full && echo device
		mknod /root/m c 1 11 && head -c 0 /root/m && echo any; grep -E ' /sys sysfs' /proc/mounts | cut -d ' ' -f 4 | cut -c 1-2`, "--privileged")
	caps := everyCapability(t)
	expect(t, r, 0, caps+"\n"+caps+"\nmounted\nSeccomp:\t0\n[0-9]+\ndevice\nany\nrw")
}

// everyCapability matches all capabilities that a container can get here. Docker
// 20.10 knows 38 of them.
func everyCapability(t *testing.T) string {
	t.Helper()
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var bounding uint64
	_, text, _ := strings.Cut(string(own), "CapBnd:\t")
	if _, err := fmt.Sscanf(text, "%x", &bounding); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("(%016x|%016x)", bounding, bounding&(1<<38-1))
}

func testMasks(t *testing.T, e *engine) {
	var script, want string
	for _, p := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list"} {
		if _, err := os.Stat(p); err == nil {
			script, want = script+"wc -c < "+p+";", want+"0\n"
		}
	}
	script += `ls /sys/firmware | wc -l; for f in /proc/sys/kernel/panic /proc/sysrq-trigger; do
		test -e $f || continue; true > $f && echo "wrote $f"; done; echo done`
	expect(t, e.run(t, script), 0, want+"0\ndone")
}

func testDevice(t *testing.T, e *engine) {
	node := e.path("kmsg")
	if err := syscall.Mknod(node, syscall.S_IFCHR|0o600, 1<<8|11); err != nil {
		t.Fatal(err)
	}
	expect(t, e.run(t, "head -c 0 /dev/mine; echo $?; true > /dev/mine; echo $?", "--device", node+":/dev/mine:r", "--cap-add", "SYSLOG"), 0, "0\n1")
}

// testSeccompProfile: a profile that forbids mkdir with an errno of its own.
func testSeccompProfile(t *testing.T, e *engine) {
	profile := e.write(t, "profile.json", `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
		{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
		{"names": ["personality"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]}`, 0o600)
	r := e.run(t, "mkdir /d; echo $?; grep Seccomp: /proc/self/status; linux32 true; echo $?", "--security-opt", "seccomp="+profile)
	expect(t, r, 0, "1\nSeccomp:\t2\n(159|0)")
	failsWith(t, r, 0, "No space left on device")
}

// sharedMount makes a mount point on the host whose mounts propagate.
func sharedMount(t *testing.T, e *engine, name string) string {
	t.Helper()
	dir := filepath.Dir(e.write(t, name+"/sub/file", "below", 0o644))
	dir = filepath.Dir(dir)
	if err := syscall.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mount("none", dir, "", syscall.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func testSlave(t *testing.T, e *engine) {
	dir := sharedMount(t, e, "slave")
	id := e.start(t, []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "-v", dir + ":/vol:rslave"}, "sleep", "1000")
	if err := syscall.Mount("late", dir+"/sub", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	expect(t, e.try(t, "exec", id, "grep", "-c", "^late /vol/sub tmpfs", "/proc/mounts"), 0, "1")
	if err := syscall.Unmount(dir+"/sub", 0); err != nil {
		t.Fatal(err)
	}
	expect(t, e.try(t, "exec", id, "grep", "-c", "^late /vol/sub tmpfs", "/proc/mounts"), 1, "0")
	expect(t, e.try(t, "exec", id, "mount", "-t", "tmpfs", "inside", "/vol/sub"), 0, "")
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(data), dir+"/sub") {
		t.Errorf("the host sees the container's mount (%v)", err)
	}
}

func testShared(t *testing.T, e *engine) {
	dir := sharedMount(t, e, "shared")
	id := e.start(t, []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "-v", dir + ":/vol:rshared"}, "sleep", "1000")
	expect(t, e.try(t, "exec", id, "mount", "-t", "tmpfs", "inside", "/vol/sub"), 0, "")
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil || !strings.Contains(string(data), dir+"/sub") {
		t.Errorf("the host does not see the container's mount (%v)", err)
	}
	if err := syscall.Unmount(dir+"/sub", 0); err != nil {
		t.Error(err)
	}
}
