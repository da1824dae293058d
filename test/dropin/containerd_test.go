package dropin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const containerdConf = `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
`

// containerdEngine starts a containerd whose shim calls the runtime under test.
func containerdEngine(t *testing.T) *engine {
	t.Helper()
	runtime := runtimePath(t)
	e := newEngine(t, "containerd", "ctr", "containerd-shim-runc-v2")
	socket := e.path("sock")
	config := fmt.Sprintf(containerdConf, e.path("root"), e.path("daemon"), socket, e.path("opt"))
	e.command = []string{"ctr", "--address", socket}
	e.state = e.path("state/default")
	e.own = []string{
		"--runtime", "io.containerd.runc.v2", "--runc-binary", runtime, "--runc-root", e.path("state"),
		"--fifo-dir", e.path("fifo"),
	}
	e.daemonize(t, []string{"containerd", "--config", e.write(t, "config.toml", config, 0o600)}, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return e.cmd(ctx, "version").Run()
	})
	writeLayout(t, e.path("image.tar"), e.path("layout.tar"))
	e.must(t, "images", "import", e.path("layout.tar"))
	return e
}

// task runs a command in a new container: ctr wants the image and a name after
// the flags, and the cgroup by its full path.
func (e *engine) task(t *testing.T, flags []string, command ...string) (id string, r result) {
	t.Helper()
	// ctr forgets the output of a task that has ended before ctr has opened its
	// FIFOs (containerd's task.Delete cancels the opening), as on a busy machine.
	for range 3 {
		id = fmt.Sprint("c", counter.Add(1))
		args := append([]string{"run", "--cgroup", e.parent + "/" + id}, flags...)
		r = e.try(t, append(append(args, imageName, id), command...)...)
		if r.out+r.err != "" || slices.Contains(flags, "-d") || !slices.Contains(flags, "--rm") {
			break
		}
	}
	return id, r
}

// background starts a task that goes with the test.
func (e *engine) background(t *testing.T, flags []string, command ...string) (id string) {
	t.Helper()
	id, r := e.task(t, append([]string{"-d"}, flags...), command...)
	if r.code != 0 {
		t.Fatal(r)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		// Both are gone where the test removed them.
		_ = finish(ctx, t, e.cmd(ctx, "tasks", "delete", "--force", id))
		_ = finish(ctx, t, e.cmd(ctx, "containers", "delete", id))
	})
	return id
}

// status waits until ctr shows a task's status.
func (e *engine) status(t *testing.T, id, want string) (pid string) {
	t.Helper()
	err := pollCommand(func() error {
		out := e.must(t, "tasks", "ls")
		for _, l := range strings.Split(out, "\n") {
			if f := strings.Fields(l); len(f) == 3 && f[0] == id && f[2] == want {
				pid = f[1]
				return nil
			}
		}
		return fmt.Errorf("%s is not %s:\n%s", id, want, out)
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestContainerd(t *testing.T) {
	t.Parallel()
	e := containerdEngine(t)
	runCases(t, e, containerdCases())
}

// inTask is the test that a script in a new container prints what matches.
func inTask(script, want string, flags ...string) func(*testing.T, *engine) {
	return func(t *testing.T, e *engine) {
		t.Helper()
		_, r := e.task(t, append([]string{"--rm"}, flags...), "sh", "-c", script)
		expect(t, r, 0, want)
	}
}

func containerdCases() []testCase {
	return []testCase{
		{"output and exit code", core, func(t *testing.T, e *engine) {
			id, r := e.task(t, []string{"--rm"}, "sh", "-c", "echo out; echo err >&2; exit 7")
			expect(t, r, 7, "out")
			failsWith(t, r, 7, "(?m)^err$")
			e.clean(t, id)
		}},
		{"environment", core, inTask("echo $A; pwd; id -u; ls /proc/self/fd | tr '\\n' ' '; grep -E '^Sig(Ign|Blk)' /proc/self/status",
			"b\n/tmp\n0\n0 1 2 3 "+noSignals, "--env", "A=b", "--cwd", "/tmp")},
		{"terminal", core, func(t *testing.T, e *engine) {
			r := e.onTerminal(t, "run", "--rm", "-t", "--cgroup", e.parent+"/tty", imageName, "tty", "sh", "-c", "tty; test -t 0 -a -t 1 -a -t 2 && echo terminal; exit 6")
			expect(t, r, 6, `(?:\^@)?/dev/pts/0\r*\nterminal`)
		}},
		{"exec", core, testTaskExec},
		{"pause and kill", core, testTaskLife},
		{"memory and statistics", core, testTaskMemory},
		{"privileged", core, inTask("mount -t tmpfs x /tmp && echo mounted; grep Seccomp: /proc/self/status", "mounted\nSeccomp:\t0", "--privileged")},
		{"read-only root", core, inTask("touch /x; echo $?", "1", "--read-only")},
		{"seccomp", core, inTask("grep Seccomp: /proc/self/status", "Seccomp:\t2", "--seccomp")},
		{"capabilities", core, inTask("grep CapEff /proc/self/status", "CapEff:\t00000000aa0425db", "--cap-drop", "CAP_KILL", "--cap-add", "CAP_SYS_TIME")},
		{"network of the host", core, func(t *testing.T, e *engine) {
			inTask("readlink /proc/self/ns/net", regexp.QuoteMeta(namespaceOf(t, "net")), "--net-host")(t, e)
		}},
		{"namespace by path", core, func(t *testing.T, e *engine) {
			pid := e.status(t, e.background(t, nil, "sleep", "1000"), "RUNNING")
			want, err := os.Readlink("/proc/" + pid + "/ns/uts")
			if err != nil {
				t.Fatal(err)
			}
			inTask("readlink /proc/self/ns/uts", regexp.QuoteMeta(want), "--with-ns", "uts:/proc/"+pid+"/ns/uts")(t, e)
		}},
		{"bind", core, func(t *testing.T, e *engine) {
			e.write(t, "bind/a", "from the host", 0o644)
			inTask("cat /vol/a; touch /vol/b; echo $?", "from the host1",
				"--mount", "type=bind,src="+e.path("bind")+",dst=/vol,options=rbind:ro")(t, e)
		}},
		{"user namespace", rare, inTask("cat /proc/self/uid_map; id -u", `0 +300000 +3000\n0`,
			"--uidmap", "0:300000:3000", "--gidmap", "0:300000:3000", "--remap-labels=false")},
		{"root of the host", rare, func(t *testing.T, e *engine) {
			e.untar(t, e.path("rootfs"))
			r := e.try(t, "run", "--rm", "--cgroup", e.parent+"/rootfs", "--rootfs", e.path("rootfs"), "rootfs", "sh", "-c", "id -u")
			expect(t, r, 0, "0")
		}},
		{"no pivot", rare, inTask("id -u", "0", "--no-pivot")},
		{"no such command", core, func(t *testing.T, e *engine) {
			id, r := e.task(t, []string{"--rm"}, "nope")
			failsWith(t, r, 1, `nope.*(executable file not found|no such file)`)
			e.clean(t, id)
		}},
		{"cycles", core, func(t *testing.T, e *engine) {
			n := 3
			if all() {
				n = 100
			}
			for range n {
				id, r := e.task(t, []string{"--rm"}, "true")
				expect(t, r, 0, "")
				e.clean(t, id)
			}
		}},
	}
}

func testTaskExec(t *testing.T, e *engine) {
	id := e.background(t, []string{"--env", "OUTER=1"}, "sleep", "1000")
	ex := func(flags []string, command ...string) []string {
		args := append([]string{"tasks", "exec", "--exec-id", fmt.Sprint("e", counter.Add(1)), "--fifo-dir", e.path("fifo")}, flags...)
		return append(append(args, id), command...)
	}
	r := e.try(t, ex(nil, "sh", "-c", "echo out $OUTER; echo err >&2; exit 9")...)
	expect(t, r, 9, "out 1")
	failsWith(t, r, 9, "(?m)^err$")
	expect(t, e.try(t, ex([]string{"--user", "bob", "--cwd", "/tmp"}, "sh", "-c", "id -u; pwd")...), 0, "1000\n/tmp")
	expect(t, e.onTerminal(t, ex([]string{"-t"}, "sh", "-c", "tty; exit 3")...), 3, `(?:\^@)?/dev/pts/\d+\b.*`)
	r = e.try(t, ex(nil, "/nope")...)
	failsWith(t, r, 1, "/nope.*no such file")
}

func testTaskLife(t *testing.T, e *engine) {
	dir := filepath.Dir(e.write(t, "life/ticks", "", 0o666))
	id := e.background(t, []string{"--mount", "type=bind,src=" + dir + ",dst=/vol,options=rbind:rw"},
		"sh", "-c", "trap 'exit 5' TERM; while :; do echo >> /vol/ticks; sleep 0.02; done")
	size := func() int64 {
		info, err := os.Stat(dir + "/ticks")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	grows := func() {
		t.Helper()
		before := size()
		if err := poll(func() error {
			if size() == before {
				return errText("the task does not run")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	e.status(t, id, "RUNNING")
	grows()
	e.must(t, "tasks", "pause", id)
	e.status(t, id, "PAUSED")
	before := size()
	if r := e.try(t, "tasks", "ls"); size() != before {
		t.Errorf("a paused task wrote: %v", r)
	}
	e.must(t, "tasks", "resume", id)
	pid := e.status(t, id, "RUNNING")
	grows()
	if out := e.must(t, "tasks", "ps", id); !strings.Contains(out, pid) {
		t.Errorf("tasks ps does not show %s: %s", pid, out)
	}
	e.must(t, "tasks", "kill", "-s", "SIGTERM", id)
	e.status(t, id, "STOPPED")
	if r := e.try(t, "tasks", "kill", "-s", "SIGKILL", id); r.code == 0 || !strings.Contains(r.err, "already finished") && !strings.Contains(r.err, "not found") {
		t.Errorf("kill of a stopped task: %v", r)
	}
	failsWith(t, e.try(t, "tasks", "delete", id), 0, "non-zero exit code 5")
	// Again in the same container, removed while it runs.
	e.must(t, "tasks", "start", "-d", id)
	e.status(t, id, "RUNNING")
	e.must(t, "tasks", "kill", "--all", "-s", "SIGKILL", id)
	e.status(t, id, "STOPPED")
	failsWith(t, e.try(t, "tasks", "delete", id), 0, "non-zero exit code 137")
	e.must(t, "containers", "delete", id)
	e.clean(t, id)
}

func testTaskMemory(t *testing.T, e *engine) {
	ctx, cancel := context.WithCancel(t.Context())
	events := e.cmd(ctx, "events")
	log, err := os.Create(e.path("events"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	events.Stdout = log
	if err := events.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = events.Wait() // it was killed
	}()
	id := e.background(t, []string{"--memory-limit", "16777216"}, "sh", "-c",
		"dd if=/dev/zero of=/dev/shm/x bs=1M count=4; while ! test -e /root/go; do sleep 0.05; done; tail /dev/zero; code=$?; sleep 0.5; exit $code")
	counted(t, pollCommand(func() error {
		r := e.try(t, "tasks", "metrics", id)
		for _, l := range strings.Split(r.out, "\n") {
			var n int
			if f := strings.Fields(l); len(f) == 2 && strings.HasPrefix(f[0], "memory.usage") {
				if _, err := fmt.Sscan(f[1], &n); err == nil && n > 4<<20 && n <= 16<<20 {
					return nil
				}
			}
		}
		return fmt.Errorf("no memory usage between 4 and 16 MiB in %v", r)
	}))
	e.must(t, "tasks", "exec", "--exec-id", "go", "--fifo-dir", e.path("fifo"), id, "touch", "/root/go")
	e.status(t, id, "STOPPED")
	counted(t, poll(func() error {
		data, err := os.ReadFile(log.Name())
		if err == nil && !strings.Contains(string(data), "/tasks/oom") {
			err = errText("no event of a kill for lack of memory")
		}
		return err
	}))
	failsWith(t, e.try(t, "tasks", "delete", id), 0, "non-zero exit code 137")
}
