package cgroups

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/internal/testutil"
	"berth/ociruntime/cgroups/systemd"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// show asks systemd for properties of a unit.
func show(t *testing.T, unit string, properties ...string) string {
	t.Helper()
	out, err := exec.Command("systemctl", "show", "-p", strings.Join(properties, ","), unit).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl show: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// bootSystemd is what a small host does to have systemd: it sees a cgroup of
// its own as the root of all hierarchies, and no units of the real host.
const bootSystemd = `set -e
units=$1; shift
mount --make-rprivate /
if [ "$*" = unified ]; then
	umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; set --
else
	mount -t tmpfs tmpfs /sys/fs/cgroup
fi
for h in "$@"; do
	d=/sys/fs/cgroup/${h#name=}; mkdir $d
	case $h in
	unified) mount -t cgroup2 cgroup2 $d ;;
	name=*) mount -t cgroup -o none,$h cgroup $d ;;
	*) mount -t cgroup -o $h cgroup $d ;;
	esac
done
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/lock
mkdir $units/none
printf '[Unit]\nDescription=nothing\nDefaultDependencies=no\n' > $units/idle.target
for d in /usr/lib/systemd/system /etc/systemd/system; do [ -d $d ] && mount --bind $units $d; done
for d in system-generators system-environment-generators; do
	[ -d /usr/lib/systemd/$d ] && mount --bind $units/none /usr/lib/systemd/$d
done
mount -t proc proc /proc
until [ -e $units/ready ]; do sleep 0.02; done
exec env -i container=berth PATH=$PATH /usr/lib/systemd/systemd --system --unit=idle.target --log-target=null --show-status=0
`

// TestSystemdDriverInNamespaces runs the two tests below where systemd is not the
// host's init: it boots one in namespaces, whose cgroups are not the host's roots.
func TestSystemdDriverInNamespaces(t *testing.T) {
	testutil.RequireRoot(t)
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if systemd.Running() {
		t.Skip("it is the host's init: the tests below run as they are")
	}
	if _, err := os.Stat("/usr/lib/systemd/systemd"); err != nil {
		t.Fatal("systemd is not installed: make test installs it")
	}
	c := mustCreate(t, l, &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}) // so that version 2 has cpuset there
	var hierarchies []string
	for _, h := range l.V1 {
		hierarchies = append(hierarchies, strings.Join(h.Controllers, ","))
	}
	if l.Unified != "" {
		hierarchies = append(hierarchies, "unified")
	}
	script := t.TempDir() + "/boot"
	if err := os.WriteFile(script, []byte(bootSystemd), 0o600); err != nil {
		t.Fatal(err)
	}
	units := t.TempDir()
	boot := start(t, c, "exec unshare --cgroup --pid --mount --fork --kill-child sh "+script+" "+units+" "+strings.Join(hierarchies, " "))
	var init string
	eventually(t, "systemd is up", func() bool {
		children, err := os.ReadFile("/proc/" + strconv.Itoa(boot.Process.Pid) + "/task/" + strconv.Itoa(boot.Process.Pid) + "/children")
		init = strings.TrimSpace(string(children))
		if err != nil || init == "" {
			return false
		}
		if !exists(units + "/ready") {
			if l.Mode() == V2 { // systemd's root may have no process but its own, or it has no controllers
				outside := c.unified + "/outside"
				if err := errors.Join(fill(outside, nil), os.WriteFile(outside+"/cgroup.procs", []byte(strconv.Itoa(boot.Process.Pid)), 0)); err != nil {
					t.Fatal(err)
				}
			}
			if err := fill(units, map[string]string{"ready": ""}); err != nil {
				t.Fatal(err)
			}
		}
		return exists("/proc/" + init + "/root/run/systemd/private")
	})
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nsenter", "-t", init, "-m", "-p", "-C", "--", self, "-test.run=^TestSystemdDriver(Abandon)?$", "-test.v")
	cmd.Env = append(os.Environ(), "BERTH_TEST_ROOT=1")
	if l.Mode() == V2 { // a process from outside of the namespace cannot be moved within (mount option nsdelegate)
		if err := fill(c.unified+"/tests", nil); err != nil {
			t.Fatal(err)
		}
		dir, err := os.Open(c.unified + "/tests")
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "SKIP") || strings.Count(string(out), "--- PASS") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSystemdDriver runs where systemd is the host's init, as in make test-vm.
func TestSystemdDriver(t *testing.T) {
	testutil.RequireRoot(t)
	if !systemd.Running() {
		t.Skip("this host was not booted with systemd")
	}
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	id := rand.Text()
	unit := "berthtest-" + id + ".scope"
	args := Args{Path: "berth-test.slice:berthtest:" + id, ID: id, Systemd: true, Annotations: map[string]string{"org.systemd.property.TimeoutStopSec": "3"}}
	args.Resources = &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(64 << 20))},
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(12345)), Period: ptr(uint64(50000)), Cpus: "0"},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(17))},
		Devices: []specs.LinuxDeviceCgroup{rule(true, "c", 10, 200, "rwm")},
	}
	c, err := l.placeFor(t.Context(), args)
	if err != nil {
		t.Fatal(err)
	}
	record := c.Record()
	t.Cleanup(func() { // a slice stays when its last scope is gone
		if out, err := exec.Command("systemctl", "stop", "berth.slice").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	if err := c.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(c.Kill(ctx), c.Delete(ctx)); err != nil {
			t.Error(err)
		}
	})
	init := start(t, c, "exec sleep 100")
	if err := c.Entered(); err != nil {
		t.Fatal(err)
	}
	for _, d := range c.Dirs() {
		pids, err := pidsBelow(d.Path)
		if err != nil || len(pids) != 1 || pids[0] != init.Process.Pid {
			t.Errorf("%s: processes %v %v, want %d alone", d.Path, pids, err, init.Process.Pid)
		}
	}
	if got := show(t, unit, "ActiveState", "Slice", "Delegate", "TasksMax", "TimeoutStopUSec", "CPUQuotaPerSecUSec"); !sameLines(got,
		"ActiveState=active", "Slice=berth-test.slice", "Delegate=yes", "TasksMax=17", "TimeoutStopUSec=3s", "CPUQuotaPerSecUSec=250ms") {
		t.Errorf("%s", got)
	}
	if got := c.readTest(t, "pids", "pids.max"); got != "17" {
		t.Errorf("pids.max %s", got)
	}
	if _, err := l.placeFor(t.Context(), args); !errors.Is(err, errdefs.ErrAlreadyExists) {
		t.Errorf("the same again: %v", err)
	}
	later, err := record.Open() // as another command finds it
	if err != nil {
		t.Fatal(err)
	}
	if err := later.Update(t.Context(), &specs.LinuxResources{
		Pids: &specs.LinuxPids{Limit: ptr(int64(23))}, Memory: &specs.LinuxMemory{Limit: ptr(int64(48 << 20))},
		Devices: []specs.LinuxDeviceCgroup{rule(true, "c", 1, 11, "r")},
	}); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil { // it writes all limits again
		t.Fatalf("%v: %s", err, out)
	}
	if got := show(t, unit, "TasksMax"); got != "TasksMax=23" {
		t.Errorf("after the update: %s", got)
	}
	if got := later.readTest(t, "pids", "pids.max"); got != "23" {
		t.Errorf("after the update: pids.max %s", got)
	}
	if s, err := later.Stats(); err != nil || s.Memory.Limit != 48<<20 {
		t.Errorf("after the update: memory limit %d %v", s.Memory.Limit, err)
	}
	if !may(t, later, "1 11") || may(t, later, "10 200") || !may(t, later, "1 3") {
		t.Error("the device rules are not the new ones")
	}
	if err := errors.Join(later.Pause(t.Context()), later.Kill(t.Context())); err != nil {
		t.Fatal(err)
	}
	_ = init.Wait() // killed
	if err := later.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, d := range later.Dirs() {
		if exists(d.Path) {
			t.Errorf("%s is left", d.Path)
		}
	}
	if got := show(t, unit, "LoadState"); got != "LoadState=not-found" {
		t.Errorf("the unit is left: %s", got)
	}
}

// A container that fails to start leaves no unit.
func TestSystemdDriverAbandon(t *testing.T) {
	testutil.RequireRoot(t)
	if !systemd.Running() {
		t.Skip("this host was not booted with systemd")
	}
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		res  *specs.LinuxResources
	}{
		{"after it was made", nil},
		{"by a limit", &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}, CPU: &specs.LinuxCPU{Shares: ptr(uint64(100))}}},
	} {
		id := rand.Text()
		c, err := l.placeFor(t.Context(), Args{ID: id, Systemd: true, Resources: tc.res})
		if err != nil {
			var limit *LimitError
			if tc.res == nil || !errors.As(err, &limit) { // this host has no hugetlb controller
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if err := c.Make(t.Context()); (err == nil) != (tc.res == nil) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err := c.Abandon(t.Context()); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if got := show(t, "berth-"+id+".scope", "LoadState"); got != "LoadState=not-found" {
			t.Errorf("%s: %s", tc.name, got)
		}
		if c.exists() {
			t.Errorf("%s: directories are left", tc.name)
		}
	}
}

func sameLines(got string, want ...string) bool {
	have := map[string]bool{}
	for line := range strings.SplitSeq(got, "\n") {
		have[line] = true
	}
	for _, line := range want {
		if !have[line] {
			return false
		}
	}
	return true
}
