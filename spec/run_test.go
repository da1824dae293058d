package spec_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/linux"
	"berth/internal/testutil"
	"berth/ociruntime/lifecycle"
	"berth/spec"
	"berth/spec/hostinfo"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// machine starts containers from specs on the running kernel.
type machine struct {
	runtime *lifecycle.Runtime
	host    spec.Host
	root    string // holds the layer that all containers share
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	testutil.RequireRoot(t)
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("needs busybox: apt-get install busybox-static")
	}
	m := &machine{root: t.TempDir()}
	if m.runtime, err = lifecycle.New(); err != nil {
		t.Fatal(err)
	}
	if m.host, err = hostinfo.Read(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(m.root, "layer/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.root, "layer/bin/busybox"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("busybox", filepath.Join(m.root, "layer/bin/sh")); err != nil {
		t.Fatal(err)
	}
	return m
}

// start runs a script in a container that is deleted when the test ends.
func (m *machine) start(t *testing.T, id, script string, change func(*spec.Input)) (*lifecycle.Container, *specs.Spec) {
	t.Helper()
	dir := filepath.Join(m.root, id)
	for _, d := range []string{"upper", "work", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hosts := filepath.Join(dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := spec.Input{
		ID:          strings.Repeat("0123456789ab", 5) + "0123",
		Image:       ocispec.ImageConfig{Env: []string{"PATH=/bin"}},
		Config:      &container.Config{Cmd: []string{"sh", "-c", "exec 2>&1; " + script}},
		HostConfig:  &container.HostConfig{NetworkMode: "none"},
		User:        spec.User{AdditionalGids: []uint32{0}, Home: "/root"},
		IDs:         spec.IDRange{Host: 1_000_000_000, Size: 65536},
		Files:       spec.Files{Hosts: hosts},
		CgroupsPath: fmt.Sprintf("/berth-test-spec-%d-%s", os.Getpid(), id),
		Host:        m.host,
	}
	if change != nil {
		change(&in)
	}
	s, err := spec.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.runtime.Start(t.Context(), lifecycle.Args{
		ID: id, Spec: s, RunDir: filepath.Join(dir, "run"),
		Rootfs: &linux.Overlay{Root: m.root, Lower: []string{"layer"}, Upper: id + "/upper", Work: id + "/work"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c, s
}

// run runs a script in a container and returns what it printed.
func (m *machine) run(t *testing.T, id, script string, change func(*spec.Input)) string {
	t.Helper()
	c, _ := m.start(t, id, script, change)
	return output(t, c.Process)
}

// output waits for the end of a process and returns what it printed.
func output(t *testing.T, p *lifecycle.Process) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := io.ReadAll(p.IO().Stdout)
	if err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(ctx); err != nil {
		t.Error(err)
	}
	return string(out)
}

// TestSecurity15And22Exec: what a container may not see or do, a process added
// to it may not either, not even one that asks for no new privileges.
func TestSecurity15And22Exec(t *testing.T) {
	m := newMachine(t)
	c, s := m.start(t, "exec", "busybox sleep 1000", nil)
	for name, change := range map[string]func(*specs.Process){
		"plain":             func(*specs.Process) {},
		"no new privileges": func(p *specs.Process) { p.NoNewPrivileges = true },
		"user":              func(p *specs.Process) { p.User.UID = 33 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			process := *s.Process
			process.Args = []string{"sh", "-c", "exec 2>&1; busybox grep -E '^(CapInh|CapAmb|Seccomp):' /proc/self/status | busybox tr '\\t' ' '; " +
				"busybox cat /proc/kcore /proc/keys; busybox ls /sys/firmware; echo x >/proc/sys/kernel/core_pattern; busybox mount -t tmpfs x /tmp; busybox unshare -r true"}
			change(&process)
			p, err := c.Exec(t.Context(), lifecycle.ExecArgs{ID: "e", RunDir: dir, Process: &process})
			if err != nil {
				t.Fatal(err)
			}
			got := output(t, p)
			if err := p.Release(); err != nil {
				t.Error(err)
			}
			want := "CapInh: 0000000000000000\nCapAmb: 0000000000000000\nSeccomp: 2\n"
			if !strings.HasPrefix(got, want) {
				t.Errorf("got %q, want %q first", got, want)
			}
			for _, denied := range []string{"core_pattern: Read-only file system", "mount", "unshare"} {
				if !strings.Contains(got, denied) {
					t.Errorf("got %q, want %q in it", got, denied)
				}
			}
			if len(got) > 600 {
				t.Errorf("a masked file has %d bytes: %.200q", len(got), got)
			}
		})
	}
}

const status = "busybox grep -E '^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | busybox tr '\\t' ' '; "

// TestRun holds what the specs say against what the kernel then does.
func TestRun(t *testing.T) {
	m := newMachine(t)
	shared := filepath.Join(m.root, "shared")
	if err := os.MkdirAll(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	limitFiles, limits := "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares pids/pids.max", "67108864\n134217728\n50000\n100\n4096\n"
	if m.host.CgroupV2 { // where swap is counted alone, and shares are weights
		limitFiles, limits = "memory.max memory.swap.max cpu.max cpu.weight pids.max", "67108864\n67108864\n50000 100000\n17\n4096\n"
	}
	for _, c := range []struct {
		name, script string
		change       func(*spec.Input)
		want         string
	}{
		{"security16and17-root", status, nil, `Uid: 0 0 0 0
Gid: 0 0 0 0
Groups: 0 
CapInh: 0000000000000000
CapPrm: 00000000a80425fb
CapEff: 00000000a80425fb
CapBnd: 00000000a80425fb
CapAmb: 0000000000000000
NoNewPrivs: 0
Seccomp: 2
`},
		{"security16and17-user", status, func(in *spec.Input) {
			in.User = spec.User{UID: 33, GID: 33, AdditionalGids: []uint32{33, 4, 50}}
			in.HostConfig.SecurityOpt = []string{"no-new-privileges", "seccomp=unconfined"}
		}, `Uid: 33 33 33 33
Gid: 33 33 33 33
Groups: 4 33 50 
CapInh: 0000000000000000
CapPrm: 0000000000000000
CapEff: 0000000000000000
CapBnd: 00000000a80425fb
CapAmb: 0000000000000000
NoNewPrivs: 1
Seccomp: 0
`},
		{"names", "hostname=$(busybox hostname); echo $hostname $HOSTNAME $HOME $PATH; busybox pwd; umask; read a b c </proc/self/uid_map; echo $a $b $c", func(in *spec.Input) {
			in.Config.WorkingDir = "/bin/"
			in.HostConfig.Umask = new(uint32)
		}, "0123456789ab 0123456789ab /root /bin\n/bin\n0000\n0 1000000000 65536\n"},
		{
			"security20-masked", "for f in /proc/kcore /proc/keys /proc/interrupts /proc/timer_list; do [ -e $f ] && busybox cat $f; done; busybox ls /sys/firmware /proc/scsi 2>/dev/null; echo x >/proc/sys/kernel/core_pattern; echo done", nil,
			"/sys/firmware:\nsh: can't create /proc/sys/kernel/core_pattern: Read-only file system\ndone\n",
		},
		{"shm", "busybox df -k /dev/shm | busybox tail -1 | busybox awk '{print $2}'; busybox stat -c %a /dev/shm", func(in *spec.Input) {
			in.HostConfig.ShmSize = 1 << 20
		}, "1024\n1777\n"},
		{"mounts", "echo a >/rw/file; busybox stat -c %u:%g /rw/file; echo a >/ro/file; echo a >/tmp/file; echo a >/file; busybox cat /etc/hosts; busybox grep ' /tmp ' /proc/mounts | busybox grep -o 'rw,nosuid,nodev,relatime,size=1024k'", func(in *spec.Input) {
			h := in.HostConfig
			h.ReadonlyRootfs = true
			h.Binds = []string{shared + ":/ro:ro"}
			h.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: shared, Target: "/rw"}}
			h.Tmpfs = map[string]string{"/tmp": "exec,size=1m"}
		}, "0:0\nsh: can't create /ro/file: Read-only file system\nsh: can't create /file: Read-only file system\n127.0.0.1 localhost\nrw,nosuid,nodev,relatime,size=1024k\n"},
		{"sysctl", "busybox cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_unprivileged_port_start", func(in *spec.Input) {
			in.HostConfig.Sysctls = map[string]string{"net.ipv4.ip_default_ttl": "77", "kernel.shmmni": "55"}
		}, "77\n55\n0\n"},
		{"ulimit", "ulimit -n; ulimit -Hn; ulimit -c", func(in *spec.Input) {
			in.HostConfig.Ulimits = []*units.Ulimit{{Name: "nofile", Soft: 99, Hard: 200}, {Name: "core", Soft: 0, Hard: 0}}
		}, "99\n200\n0\n"},
		{"device", "busybox stat -c '%F %t:%T' /dev/mynull; echo x >/dev/mynull && echo written; busybox mknod /dev/sda b 8 0 2>/dev/null && busybox dd if=/dev/sda of=/dev/null count=1 2>/dev/null; echo $?", func(in *spec.Input) {
			in.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/null", PathInContainer: "/dev/mynull"}}
		}, "character special file 1:3\nwritten\n1\n"},
		{"host-users", "read a b c </proc/self/uid_map; echo $a $b $c; busybox stat -c %u /rw", func(in *spec.Input) {
			in.HostConfig.UsernsMode = "host"
			in.HostConfig.Binds = []string{shared + ":/rw"}
		}, "0 0 4294967295\n0\n"},
		{"host-namespaces", "busybox hostname; for n in net ipc uts; do busybox readlink /proc/self/ns/$n; done; [ -d /proc/" + fmt.Sprint(os.Getpid()) + " ] && echo sees the host; echo x >/sys/kernel/x", func(in *spec.Input) {
			h := in.HostConfig
			h.NetworkMode, h.PidMode, h.IpcMode, h.UTSMode = "host", "host", "host", "host"
		}, hostNamespaces(t)},
		{"privileged", status + "busybox touch /sys/fs/cgroup/x 2>/dev/null; busybox grep -c ' /sys sysfs rw' /proc/mounts; [ -e /dev/kmsg ] && echo kmsg", func(in *spec.Input) {
			in.HostConfig.Privileged = true
			in.Host.Capabilities = []string{"CAP_CHOWN", "CAP_SYS_ADMIN"}
		}, `Uid: 0 0 0 0
Gid: 0 0 0 0
Groups: 0 
CapInh: 0000000000000000
CapPrm: 0000000000200001
CapEff: 0000000000200001
CapBnd: 0000000000200001
CapAmb: 0000000000000000
NoNewPrivs: 0
Seccomp: 0
1
kmsg
`},
		{"limits", "cd /sys/fs/cgroup; busybox cat " + limitFiles, func(in *spec.Input) {
			in.HostConfig.Resources = container.Resources{Memory: 64 << 20, NanoCPUs: 500_000_000, CPUShares: 100}
		}, limits},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := m.run(t, c.name, c.script, c.change); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func hostNamespaces(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	out := name + "\n"
	for _, ns := range []string{"net", "ipc", "uts"} {
		link, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		out += link + "\n"
	}
	return out + "sees the host\nsh: can't create /sys/kernel/x: Read-only file system\n"
}
