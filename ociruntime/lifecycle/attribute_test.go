package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"berth/internal/testutil"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What a process is given besides credentials, as it finds it itself: in a
// container with a user namespace of its own the keeper gives the most of it.
func TestAttributes(t *testing.T) {
	testutil.RequireRoot(t)
	for _, users := range []string{"own", "host"} {
		t.Run(users, func(t *testing.T) {
			a, root := bundle(t)
			if users == "host" {
				hostUsers(t, &a, root)
			}
			a.ID = fmt.Sprintf("test-%s-%d", users, os.Getpid()) // /proc/keys shows those of the same user in other tests
			a.Spec.Linux.MaskedPaths = nil
			p, l := a.Spec.Process, a.Spec.Linux
			umask := uint32(0o137)
			p.User = specs.User{UID: 7, GID: 8, Umask: &umask, AdditionalGids: []uint32{10, 9}}
			p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: -3}
			p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 99}, {Type: "RLIMIT_CORE", Soft: 512, Hard: 1024}}
			adj := 321
			p.OOMScoreAdj = &adj
			p.NoNewPrivileges = true
			p.Capabilities = &specs.LinuxCapabilities{
				Bounding: []string{"CAP_CHOWN", "CAP_KILL", "CAP_SETUID"}, Permitted: []string{"CAP_CHOWN", "CAP_KILL"},
				Inheritable: []string{"CAP_CHOWN"}, Effective: []string{"CAP_KILL"}, Ambient: []string{"CAP_CHOWN"},
			}
			l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
			l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}
			out := output(t, a, `id; umask; ulimit -n; ulimit -Hn; busybox uname -m; cat /proc/self/oom_score_adj; busybox ionice; busybox cut -d' ' -f19,41 /proc/self/stat; `+
				`grep -q interleave:0 /proc/self/numa_maps && echo interleaved; grep -E 'Cap|NoNew' /proc/self/status; grep -c ' _ses.`+a.ID+`:' /proc/keys`)
			for _, want := range []string{
				"uid=7 gid=8 groups=9,10\n", "0137\n77\n99\ni686\n321\nbest-effort: prio 6\n-3 3\ninterleaved\n", "NoNewPrivs:\t1\n1\n",
				"CapInh:\t0000000000000001\nCapPrm:\t0000000000000001\nCapEff:\t0000000000000001\nCapBnd:\t00000000000000a1\nCapAmb:\t0000000000000001\n",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("lacks %q:\n%s", want, out)
				}
			}
		})
	}
}

// An exec runs where execCPUAffinity says, in the container's session keyring.
func TestExecAttributes(t *testing.T) {
	testutil.RequireRoot(t)
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	a, root := bundle(t)
	a.ID = fmt.Sprintf("test-%d", os.Getpid()) // /proc/keys shows those of the same user in other tests
	a.Spec.Linux.MaskedPaths = nil
	a.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	a.Spec.Process.Args = []string{"sleep", "1000"}
	c, err := r.Start(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Delete(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Mkdir(root+"/run/exec", 0o700); err != nil {
		t.Fatal(err)
	}
	proc := *a.Spec.Process
	proc.Args = []string{"busybox", "sh", "-c", "busybox uname -m; busybox taskset -p 1 | busybox wc -l; grep Cpus_allowed_list /proc/self/status; grep -c ' _ses." + a.ID + ":' /proc/keys"}
	proc.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0"}
	proc.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle}
	p, err := c.Exec(t.Context(), ExecArgs{ID: "x", RunDir: root + "/run/exec", Process: &proc})
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(p.IO().Stdout)
	if want := "i686\n1\nCpus_allowed_list:\t0\n1\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
	if err := p.Release(); err != nil {
		t.Error(err)
	}
}

// A label that no security module takes is refused in words that say so.
func TestLabels(t *testing.T) {
	testutil.RequireRoot(t)
	for want, set := range map[string]func(p *specs.Process){
		"set AppArmor profile berth-none": func(p *specs.Process) { p.ApparmorProfile = "berth-none" },
		"set SELinux label berth:none":    func(p *specs.Process) { p.SelinuxLabel = "berth:none" },
	} {
		a, _ := bundle(t)
		set(a.Spec.Process)
		_, err := tryOutput(t, a, "true")
		var step *StepError
		if !errors.As(err, &step) || step.Step != want || step.Remedy == "" {
			t.Errorf("start: %v, want %s", err, want)
		}
	}
	if on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || !strings.HasPrefix(string(on), "Y") {
		return // there is no profile to set
	}
	a, _ := bundle(t)
	a.Spec.Process.ApparmorProfile = "unconfined"
	if got := output(t, a, "cat /proc/self/attr/apparmor/current"); got != "unconfined\n" {
		t.Errorf("profile %q", got)
	}
}

// A working directory that the image lacks is made, through no link out of the root.
func TestWorkingDirectory(t *testing.T) {
	testutil.RequireRoot(t)
	a, root := bundle(t)
	if err := os.Symlink("/../../inside", root+"/layers/a/link"); err != nil {
		t.Fatal(err)
	}
	makeFiles(t, []string{root + "/layers/a/inside"}, nil)
	a.Spec.Process.Cwd = "/link/new/dir"
	if got := output(t, a, "busybox pwd -P; busybox stat -c '%a %u' ."); got != "/inside/new/dir\n755 0\n" {
		t.Errorf("got %q", got)
	}
}
