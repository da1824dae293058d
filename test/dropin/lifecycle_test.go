package dropin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// onTerm is a container that ends by itself on SIGTERM.
const onTerm = `trap 'echo bye; exit 5' TERM; trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done`

func lifecycle() []testCase {
	return []testCase{
		{"detached with logs", core, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sh", "-c", onTerm)
			e.untilLog(t, id, "up")
			e.must(t, "kill", "-s", "USR1", id)
			e.untilLog(t, id, "up\nusr1")
			e.must(t, "stop", "-t", "20", id)
			e.untilLog(t, id, "up\nusr1\nbye")
			if got := e.inspect(t, id, ".State.ExitCode"); got != "5" {
				t.Errorf("exit code %s, want 5", got)
			}
			e.must(t, "start", id)
			e.untilLog(t, id, "up\nusr1\nbye\nup")
		}},
		{"create, start, wait", core, func(t *testing.T, e *engine) {
			id := e.container(t, "create", nil, "sh", "-c", "echo ran; exit 4")
			if got := e.inspect(t, id, ".State.Status"); got != "created" {
				t.Errorf("status %s, want created", got)
			}
			expect(t, e.try(t, "start", "-a", id), 4, "ran")
			expect(t, e.try(t, "wait", id), 0, "4")
			e.clean(t, id)
		}},
		{"stop by SIGKILL", core, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
			e.untilLog(t, id, "up")
			begin := time.Now()
			e.must(t, "stop", "-t", "1", id)
			if d := time.Since(begin); d < 900*time.Millisecond {
				t.Errorf("SIGKILL came after %s, want 1 s", d)
			}
			e.until(t, id, ".State.ExitCode", "137")
		}},
		{"restart", core, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sh", "-c", onTerm)
			e.untilLog(t, id, "up")
			before := pidOf(t, e, id)
			e.must(t, "restart", "-t", "20", id)
			e.untilLog(t, id, "up\nbye\nup")
			if after := pidOf(t, e, id); after == before || after == "0" {
				t.Errorf("pid %s after the restart, %s before", after, before)
			}
		}},
		{"pause", core, testPause},
		{"kill", core, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sleep", "1000")
			e.must(t, "kill", id)
			e.until(t, id, ".State.ExitCode", "137")
			r := e.try(t, "kill", id)
			if r.code == 0 || !strings.Contains(r.err, "not running") && !strings.Contains(r.err, "can only kill running") {
				t.Errorf("kill of a stopped container: %v", r)
			}
			e.clean(t, id)
		}},
		{"removed while it runs", core, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sh", "-c", "sleep 1000 & sleep 1000 & wait")
			e.must(t, "exec", "-d", id, "sleep", "1000")
			e.must(t, "rm", "-f", id)
			e.clean(t, id)
		}},
		{"processes end with their init", once, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sh", "-c", "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' & done; read x < /dev/zero")
			e.must(t, "kill", "-s", "KILL", id)
			e.until(t, id, ".State.Running", "false")
			e.clean(t, id)
		}},
		{"copy", core, testCopy},
		{"cycles", core, testCycles},
		{"several at once", core, testParallel},
	}
}

// untilLog waits until the log is this.
func (e *engine) untilLog(t *testing.T, id, want string) {
	t.Helper()
	err := pollCommand(func() error {
		if got := e.must(t, "logs", id); got != want {
			return fmt.Errorf("log of %s is %q, want %q", id, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testPause(t *testing.T, e *engine) {
	// The file's size grows as long as the container runs.
	dir := filepath.Dir(e.write(t, "pause/ticks", "", 0o666))
	id := e.start(t, []string{"-v", dir + ":/vol"}, "sh", "-c", "while :; do echo >> /vol/ticks; sleep 0.02; done")
	size := func() int64 {
		info, err := os.Stat(dir + "/ticks")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	grows := func() error {
		before := size()
		return poll(func() error {
			if size() == before {
				return fmt.Errorf("the container does not run: the file stays at %d", before)
			}
			return nil
		})
	}
	if err := grows(); err != nil {
		t.Fatal(err)
	}
	e.must(t, "pause", id)
	before := size()
	if got := e.inspect(t, id, ".State.Status"); got != "paused" {
		t.Errorf("status %s, want paused", got)
	}
	if r := e.try(t, "exec", id, "true"); r.code == 0 {
		t.Errorf("exec in a paused container: %v", r)
	}
	if after := size(); after != before {
		t.Errorf("a paused container wrote: %d lines, then %d", before, after)
	}
	e.must(t, "unpause", id)
	if err := grows(); err != nil {
		t.Error(err)
	}
	e.must(t, "pause", id)
	e.must(t, "rm", "-f", id)
	e.clean(t, id)
}

func testCopy(t *testing.T, e *engine) {
	from := e.write(t, "copied", "content\n", 0o644)
	id := e.start(t, []string{"--tmpfs", "/mem"}, "sleep", "1000")
	e.must(t, "cp", from, id+":/root/in")
	expect(t, e.try(t, "exec", id, "cat", "/root/in"), 0, "content")
	e.must(t, "exec", id, "sh", "-c", "echo back > /root/out")
	e.must(t, "cp", id+":/root/out", e.path("back"))
	if got, err := os.ReadFile(e.path("back")); err != nil || string(got) != "back\n" {
		t.Errorf("copied out %q, %v", got, err)
	}
}

// testCycles makes and removes many containers and looks for what is left.
func testCycles(t *testing.T, e *engine) {
	n := 5
	if all() {
		n = 100
	}
	for range n {
		id := e.container(t, "create", nil, "true")
		e.must(t, "start", id)
		expect(t, e.try(t, "wait", id), 0, "0")
		e.must(t, "rm", id)
		e.clean(t, id)
	}
}

func testParallel(t *testing.T, e *engine) {
	results := make(chan result)
	for i := range 6 {
		go func() { results <- e.run(t, fmt.Sprintf("echo %d; exit %d", i, i)) }()
	}
	for range 6 {
		r := <-results
		if r.out != fmt.Sprint(r.code) || r.err != "" && !strings.Contains(r.err, "WARNING") {
			t.Error(r)
		}
	}
}

func testUpdate(t *testing.T, e *engine) {
	if e.name == "podman" {
		// Podman 4.3's update insists on the systemd cgroups of its default.
		if r := e.try(t, "update", "--help"); r.code != 0 || !strings.Contains(r.out, "Usage:") {
			t.Skip("this podman has no update")
		}
	}
	id := e.start(t, []string{"--memory", "64m", "--memory-swap", "64m", "--cpus", "0.5"}, "sleep", "1000")
	e.must(t, "update", "--memory", "80m", "--memory-swap", "80m", id)
	matches(t, "memory", limit(t, e, id, "memory", "memory.limit_in_bytes", "memory.max"), "83886080")
	// What is not said stays.
	matches(t, "cpu", limit(t, e, id, "cpu", "cpu.cfs_quota_us", "cpu.max"), "50000|50000 100000")
	e.must(t, "update", "--cpus", "0.25", id)
	matches(t, "cpu", limit(t, e, id, "cpu", "cpu.cfs_quota_us", "cpu.max"), "25000|25000 100000")
	matches(t, "memory", limit(t, e, id, "memory", "memory.limit_in_bytes", "memory.max"), "83886080")
	if e.name == "docker" {
		e.must(t, "update", "--pids-limit", "77", id)
		matches(t, "pids", limit(t, e, id, "pids", "pids.max", "pids.max"), "77")
	}
	// The old limit would kill this.
	expect(t, e.try(t, "exec", id, "sh", "-c", "head -c 1000 /dev/zero | wc -c"), 0, "1000")
}
