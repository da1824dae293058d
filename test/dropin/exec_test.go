package dropin

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"berth/test/berthtest"
)

func processes() []testCase {
	return []testCase{
		{"exec", core, testExec},
		{"top", once, func(t *testing.T, e *engine) {
			id := e.start(t, nil, "sh", "-c", "sleep 1234 & wait")
			err := pollCommand(func() error {
				if out := e.must(t, "top", id); !strings.Contains(out, "sleep 1234") {
					return errText("top does not show sleep 1234: " + out)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}},
	}
}

type errText string

func (e errText) Error() string { return string(e) }

func testExec(t *testing.T, e *engine) {
	id := e.start(t, []string{"--memory", "64m", "-e", "OUTER=1", "--ulimit", "nofile=300:400", "--ulimit", "nproc=4000:4096"}, "sh", "-c", "sleep 1000")
	ex := func(args ...string) result {
		t.Helper()
		return e.try(t, append([]string{"exec"}, args...)...)
	}
	r := ex(id, "sh", "-c", "echo out; echo err >&2; exit 9")
	expect(t, r, 9, "out")
	failsWith(t, r, 9, "(?m)^err$")
	expect(t, ex("-u", "bob", "-w", "/tmp", "-e", "A=b", id, "sh", "-c", "id -u; id -g; pwd; echo $A $OUTER; grep CapEff /proc/self/status"), 0,
		"1000\n1001\n/tmp\nb 1\nCapEff:\t0000000000000000")
	expect(t, ex("-u", "7:8", id, "sh", "-c", "id -u; id -g"), 0, "7\n8")
	expect(t, e.feed(t, "a\nb\n", "exec", "-i", id, "wc", "-l"), 0, "2")
	expect(t, ex(id, "sh", "-c", "kill -9 $$"), 137, "")
	expect(t, ex(id, "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; grep -E '^Sig(Ign|Blk)' /proc/self/status"), 0,
		"0 1 2 3 "+noSignals)
	expect(t, ex(id, "sh", "-c", "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; ulimit -n; cat /proc/1/comm"), 0, "NoNewPrivs:\t0\nSeccomp:\t2\n[34]00\n(sh|sleep)")
	if !peer() {
		expect(t, ex("--privileged", id, "grep", "CapEff", "/proc/self/status"), 0, "CapEff:\t"+everyCapability(t))
	}
	// It is in the container's cgroup.
	expect(t, ex(id, "sh", "-c", "cat /proc/self/cgroup > /tmp/c; cmp /tmp/c /proc/1/cgroup && echo same"), 0, "same")
	for _, c := range []struct {
		code int // Podman's; Docker gives 126 for all
		text string
		args []string
	}{
		{127, "nope.*(executable file not found|no such file)", []string{id, "nope"}},
		{127, "/nope.*no such file", []string{id, "/nope"}},
		{126, "/etc/plain.*permission denied", []string{id, "/etc/plain"}},
		{126, "/etc.*(is a directory|permission denied)", []string{id, "/etc"}},
		{127, "/nodir.*no such file", []string{"-w", "/nodir", id, "true"}},
		{255, "unable to find user nobody", []string{"-u", "nobody", id, "true"}},
	} {
		r := ex(c.args...)
		if e.name == "docker" {
			c.code, r.err = 126, r.out // on the wrong stream
		}
		failsWith(t, r, c.code, "(?s)"+c.text)
		if strings.Contains(r.err, "\n") {
			t.Errorf("the message has several lines: %v", r)
		}
	}
	terminal := e.onTerminal(t, "exec", "-t", "-u", "bob", id, "sh", "-c", "tty; id -u; test -t 0 -a -t 1 -a -t 2 && echo terminal; exit 3")
	expect(t, terminal, 3, `(?:\^@)?/dev/pts/\d+\r*\n1000\r*\nterminal`)
	e.must(t, "exec", "-d", id, "sh", "-c", "echo late > /root/late; sleep 1000")
	if err := pollCommand(func() error {
		if r := ex(id, "cat", "/root/late"); r.out != "late" {
			return errText(r.String())
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// onTerminal runs a command of the engine on a terminal of its own.
func (e *engine) onTerminal(t *testing.T, args ...string) result {
	t.Helper()
	var line []string
	for _, a := range e.args(args) {
		line = append(line, "'"+strings.ReplaceAll(a, "'", `'\''`)+"'")
	}
	ctx, cancel := context.WithTimeout(t.Context(), berthtest.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "script", "-qefc", strings.Join(line, " "), "/dev/null")
	e2 := e.cmd(ctx)
	cmd.Env, cmd.Dir = e2.Env, e2.Dir
	return finish(ctx, t, cmd)
}

func testTerminal(t *testing.T, e *engine) {
	r := e.onTerminal(t, "run", "--rm", "-t", "-e", "TERM=vt100", imageName, "sh", "-c",
		"tty; test -t 0 -a -t 1 -a -t 2 && echo terminal; echo $TERM; stat -c %t:%T /dev/console; exit 6")
	expect(t, r, 6, `(?:\^@)?/dev/(console|pts/0)\r*\nterminal\r*\nvt100\r*\n88:.*`)
}

func errorCases() []testCase {
	fails := func(code int, text string, args ...string) func(*testing.T, *engine) {
		return func(t *testing.T, e *engine) {
			t.Helper()
			r := e.try(t, append([]string{"run", "--rm"}, args...)...)
			failsWith(t, r, code, "(?s)"+text)
		}
	}
	return []testCase{
		{"no such command", core, fails(127, `nope.*(executable file not found|no such file)`, imageName, "nope")},
		{"no such path", once, fails(127, `/nope.*no such file`, imageName, "/nope")},
		{"not executable", core, fails(126, `/etc/plain.*permission denied`, imageName, "/etc/plain")},
		{"a directory as command", once, fails(126, `/etc.*(is a directory|permission denied)`, imageName, "/etc")},
		{"no such user", once, func(t *testing.T, e *engine) {
			code := 125
			if e.name == "podman" {
				code = 126
			}
			failsWith(t, e.run(t, "true", "--user", "nobody"), code, "unable to find user nobody")
		}},
		{"working directory is a file", once, func(t *testing.T, e *engine) {
			r := e.run(t, "true", "-w", "/etc/plain")
			if r.code != 125 && r.code != 126 && r.code != 127 || !strings.Contains(r.err, "/etc/plain") || !strings.Contains(strings.ToLower(r.err), "not a directory") {
				t.Error(r)
			}
		}},
		{"a limit that cannot be", once, func(t *testing.T, e *engine) {
			r := e.run(t, "true", "--cpuset-cpus", "4095")
			if r.code == 0 || !strings.Contains(r.err, "4095") {
				t.Error(r)
			}
		}},
		{"a sysctl that is not there", once, func(t *testing.T, e *engine) {
			r := e.run(t, "true", "--sysctl", "net.nope=1")
			if r.code == 0 || !strings.Contains(r.err, "net") || !strings.Contains(r.err, "nope") {
				t.Error(r)
			}
		}},
	}
}
