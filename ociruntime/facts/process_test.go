package facts

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestExecProcess(t *testing.T) {
	umask := uint32(0o77)
	first := &specs.Process{
		Args: []string{"first"}, Cwd: "/first", Env: []string{"A=1"}, ApparmorProfile: "a", SelinuxLabel: "s", NoNewPrivileges: true,
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}}, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}},
		Scheduler: &specs.Scheduler{Policy: specs.SchedIdle}, IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE},
		ExecCPUAffinity: &specs.CPUAffinity{Final: "1"}, User: specs.User{UID: 3, Umask: &umask},
	}
	own := &specs.Process{Args: []string{"own"}, Cwd: "/", User: specs.User{UID: 4}}
	want := *first
	want.Args, want.Cwd, want.Env, want.NoNewPrivileges, want.User.UID = own.Args, own.Cwd, nil, false, 4
	if diff := cmp.Diff(&want, ExecProcess(own, first)); diff != "" {
		t.Errorf("says nothing (-want +got):\n%s", diff)
	}
	full := want
	full.ApparmorProfile, full.Capabilities = "b", &specs.LinuxCapabilities{}
	if diff := cmp.Diff(&full, ExecProcess(&full, first)); diff != "" {
		t.Errorf("says all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(own, ExecProcess(own, nil)); diff != "" {
		t.Errorf("no first process (-want +got):\n%s", diff)
	}
}
