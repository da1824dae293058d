package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
	"berth/ociruntime/lifecycle"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestOddRequests is one row a request that is allowed but seldom made.
func TestOddRequests(t *testing.T) {
	tests := map[string]struct {
		script string
		change func(b *box)
		code   int
		want   []string
		lacks  []string
	}{
		"few open files": {script: "ulimit -n", change: func(b *box) { b.host.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 8, Hard: 8}} }, want: []string{"8\n"}},
		"no capabilities section": {script: "grep Cap /proc/self/status", change: func(b *box) {
			b.change = func(s *specs.Spec) { s.Process.Capabilities = nil }
		}, want: []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"}},
		"host's proc as a volume": {
			script: "ls /host/proc/1/status /host/sys/kernel; ls -ld /host/proc/1", change: func(b *box) { b.host.Binds = []string{"/proc:/host/proc:ro", "/sys:/host/sys:ro"} },
			want: []string{"/host/proc/1/status"},
		},
		"host's devices":                 {script: "ls /dev/null", change: func(b *box) { b.host.Binds = []string{"/dev:/dev"}; b.host.Privileged = true }, want: []string{"/dev/null"}},
		"host's devices with a terminal": {script: "tty; ls /dev/null", change: func(b *box) { b.host.Binds = []string{"/dev:/dev"}; b.host.Privileged = true; b.config.Tty = true }, want: []string{"/dev/null"}},
		"below shm":                      {script: "ls -d /dev/shm/x /dev/mqueue/", change: func(b *box) { b.host.Binds = []string{"/tmp:/dev/shm/x"} }, want: []string{"/dev/shm/x"}},
		"same place twice": {script: "cat /d/f", change: func(b *box) {
			b.change = func(s *specs.Spec) {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/d", Type: "tmpfs"}, specs.Mount{Destination: "/d", Type: "tmpfs"})
			}
		}, code: 1},
		"terminal and the host's processes": {script: "tty; test -e /dev/console && echo c", change: func(b *box) { b.host.PidMode = "host"; b.config.Tty = true }, want: []string{"/dev/pts/0"}},
		"user with a capability": {script: "grep Cap /proc/self/status", change: func(b *box) {
			b.user.UID = 1000
			b.change = func(s *specs.Spec) {
				c := s.Process.Capabilities
				one := []string{"CAP_NET_BIND_SERVICE"}
				c.Effective, c.Permitted, c.Inheritable, c.Ambient = one, one, one, one
			}
		}, want: []string{"CapEff:\t0000000000000400", "CapAmb:\t0000000000000400"}},
		"oom score":             {script: "cat /proc/self/oom_score_adj", want: []string{"0\n"}},
		"file bound at console": {script: "cat /dev/console", change: func(b *box) { b.host.Binds = []string{"/etc/hostname:/dev/console"} }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, tc.script)
			if tc.change != nil {
				tc.change(b)
			}
			r := b.run()
			r.want(t, tc.code, tc.want...)
			r.lacks(t, tc.lacks...)
		})
	}
}

// TestOddSpecs is one row a spec that must be refused, and a part of the reason.
func TestOddSpecs(t *testing.T) {
	tests := map[string]struct {
		change func(s *specs.Spec)
		want   string
	}{
		"mount over the root": {func(s *specs.Spec) { s.Mounts = append(s.Mounts, specs.Mount{Destination: "/../", Type: "tmpfs"}) }, "mount destination is /"},
		"terminal without devpts": {func(s *specs.Spec) {
			s.Process.Terminal = true
			s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Type == "devpts" })
		}, "open a terminal in /dev/pts"},
		"NUL byte":      {func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "a=\x00") }, "NUL byte"},
		"empty command": {func(s *specs.Spec) { s.Process.Args = []string{""} }, "exec : no such file"},
		"two of /dev":   {func(s *specs.Spec) { s.Mounts = append(s.Mounts, specs.Mount{Destination: "/dev", Type: "tmpfs"}) }, "mount /dev is a tmpfs twice"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, "true")
			b.change = tc.change
			if _, err := b.start(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("start: %v, want %q", err, tc.want)
			}
		})
	}
}

// TestSignalsHaveTheirDefault is run by who ignores some, as nohup and shells do.
func TestSignalsHaveTheirDefault(t *testing.T) {
	ignored := []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE, syscall.SIGTSTP}
	signal.Ignore(ignored...)
	defer signal.Reset(ignored...)
	b := newBox(t, "grep -E 'SigIgn|SigBlk' /proc/self/status")
	b.config.Cmd = []string{"grep", "-E", "SigIgn|SigBlk", "/proc/self/status"}
	b.run().want(t, 0, "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000")
}

// TestRenamesElsewhere passes ".." while files are renamed: the kernel then
// asks to look again (EAGAIN, openat2(2)).
func TestRenamesElsewhere(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_, _ = os.Rename(dir+"/a", dir+"/b"), os.Rename(dir+"/b", dir+"/a")
		}
	}()
	defer func() { close(stop); <-done }()
	for range 20 {
		b := newBox(t, "pwd")
		b.config.WorkingDir = "/bin" + strings.Repeat("/../bin", 5)
		b.change = func(s *specs.Spec) { s.Process.Cwd = b.config.WorkingDir } // not cleaned
		b.run().want(t, 0, "/bin\n")
	}
}

// TestExecInAPausedContainer can be given up.
func TestExecInAPausedContainer(t *testing.T) {
	b := newBox(t, "sleep 1000")
	c, err := b.start()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := b.args()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Exec(ctx, lifecycle.ExecArgs{ID: b.id, RunDir: t.TempDir(), Process: a.Spec.Process}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("exec: %v", err)
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.mustExec("exit 3", nil).want(t, 3)
}

// TestManyMounts has more than fit the usual limit of open files.
func TestManyMounts(t *testing.T) {
	dir := t.TempDir()
	b := newBox(t, "mount | grep -c /srv/a/b/c; ulimit -n")
	for i := range 300 {
		b.host.Binds = append(b.host.Binds, fmt.Sprintf("%s:/srv/a/b/c/%d", dir, i))
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := syscall.Rlimit{Cur: 1024, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil { // what children get
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) }() // it was so before
	b.run().want(t, 0, "300\n1024\n")
}
