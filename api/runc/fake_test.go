package runc

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/api/runc/command"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/standalone"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fake is a runtime that writes down what is asked of it.
type fake struct {
	opened standalone.Options
	calls  []string
	create standalone.CreateArgs
	exec   standalone.ExecArgs
	res    *specs.LinuxResources
	check  standalone.CheckpointArgs
	states []standalone.State
	pids   []int
	code   int
	err    error
}

var _ command.Runtime = (*fake)(nil)

func (f *fake) call(format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fake) Create(_ context.Context, a standalone.CreateArgs) error {
	f.call("create %s", a.ID)
	f.create = a
	return f.err
}

func (f *fake) Start(_ context.Context, id string) error { f.call("start %s", id); return f.err }

func (f *fake) Run(_ context.Context, a standalone.CreateArgs) (int, error) {
	f.call("run %s", a.ID)
	f.create = a
	return f.code, f.err
}

func (f *fake) Exec(_ context.Context, id string, a standalone.ExecArgs) (int, error) {
	f.call("exec %s %q", id, a.Process.Args)
	f.exec = a
	return f.code, f.err
}

func (f *fake) Kill(_ context.Context, id string, sig syscall.Signal, all bool) error {
	f.call("kill %s %d %t", id, sig, all)
	return f.err
}

func (f *fake) Delete(_ context.Context, id string, force bool) error {
	f.call("delete %s %t", id, force)
	return f.err
}

func (f *fake) Pause(_ context.Context, id string) error  { f.call("pause %s", id); return f.err }
func (f *fake) Resume(_ context.Context, id string) error { f.call("resume %s", id); return f.err }

func (f *fake) State(id string) (standalone.State, error) {
	f.call("state %s", id)
	for _, s := range f.states {
		if s.ID == id {
			return s, f.err
		}
	}
	return standalone.State{}, f.err
}

func (f *fake) List() ([]standalone.State, error) { f.call("list"); return f.states, f.err }

func (f *fake) Spec(id string) (*specs.Spec, error) {
	f.call("spec %s", id)
	return &specs.Spec{Process: &specs.Process{
		Terminal: true, Args: []string{"sh"}, Env: []string{"A=1"}, Cwd: "/home", NoNewPrivileges: true,
		User:         specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
	}}, f.err
}

func (f *fake) Pids(id string) ([]int, error) { f.call("pids %s", id); return f.pids, f.err }

func (f *fake) Update(_ context.Context, id string, res *specs.LinuxResources) error {
	f.call("update %s", id)
	f.res = res
	return f.err
}

func (f *fake) Cgroup(id string) (*cgroups.Cgroup, error) { f.call("cgroup %s", id); return nil, f.err }

func (f *fake) Checkpoint(_ context.Context, id string, a standalone.CheckpointArgs) error {
	f.call("checkpoint %s", id)
	f.check = a
	return f.err
}

func (f *fake) Restore(_ context.Context, c standalone.CreateArgs, a standalone.CheckpointArgs) (int, error) {
	f.call("restore %s", c.ID)
	f.create, f.check = c, a
	return f.code, f.err
}

// session is one start of berth-oci with a fake runtime.
type session struct {
	fake
	stdin    string
	out, err bytes.Buffer
	env      map[string]string
}

func (s *session) run(args ...string) (code int) {
	c := &command.CLI{
		In: strings.NewReader(s.stdin), Out: &s.out, Err: &s.err,
		Version: "1.2.3", Commit: "abc",
		Env: func(name string) string { return s.env[name] },
		Open: func(o standalone.Options) (command.Runtime, error) {
			s.opened = o
			return &s.fake, nil
		},
	}
	return Run(context.Background(), c, args)
}

func (s *session) trail() string { return strings.Join(s.calls, "; ") }

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // a file of the repository
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (go test ./api/runc -update writes it):\n got\n%s\nwant\n%s", path, got, want)
	}
}

func state(id string, pid int, status specs.ContainerState) standalone.State {
	return standalone.State{
		State: specs.State{
			Version: "1.0.2", ID: id, Status: status, Pid: pid, Bundle: "/containers/" + id,
			Annotations: map[string]string{"com.example": "<" + id + ">"},
		},
		Rootfs:  "/containers/" + id + "/rootfs",
		Created: time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC),
		Owner:   "root",
	}
}
