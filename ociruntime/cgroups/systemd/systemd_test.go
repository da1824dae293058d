package systemd

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"berth/ociruntime/cgroups/devicerule"
	"berth/ociruntime/cgroups/limit"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

func TestStartStop(t *testing.T) {
	u := Unit{Slice: "machine.slice", Name: "berth-c1.scope"}
	for _, tc := range []struct {
		name  string
		f     fake
		calls string
		class error
	}{
		{"private socket", fake{}, "StartTransientUnit berth-c1.scope; StopUnit berth-c1.scope; ResetFailedUnit berth-c1.scope", nil},
		{"the end is told first", fake{early: true}, "StartTransientUnit berth-c1.scope; StopUnit berth-c1.scope; ResetFailedUnit berth-c1.scope", nil},
		{"bus", fake{bus: true}, "Hello; AddMatch type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved',path='/org/freedesktop/systemd1'; Subscribe; " +
			"StartTransientUnit berth-c1.scope; AddMatch type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved',path='/org/freedesktop/systemd1'; Subscribe; StopUnit berth-c1.scope; ResetFailedUnit berth-c1.scope", nil},
		{
			"a failed unit is in the way",
			fake{errors: map[string][]string{"StartTransientUnit": {"UnitExists"}}},
			"StartTransientUnit berth-c1.scope; ResetFailedUnit berth-c1.scope; StartTransientUnit berth-c1.scope; StopUnit berth-c1.scope; ResetFailedUnit berth-c1.scope", nil,
		},
		{
			"a running one is",
			fake{errors: map[string][]string{"StartTransientUnit": {"UnitExists", "UnitExists"}}},
			"StartTransientUnit berth-c1.scope; ResetFailedUnit berth-c1.scope; StartTransientUnit berth-c1.scope", errdefs.ErrAlreadyExists,
		},
		{"the job fails", fake{result: "failed"}, "StartTransientUnit berth-c1.scope; ResetFailedUnit berth-c1.scope", errdefs.ErrFailedPrecondition},
		{"gone when it is to stop", fake{errors: map[string][]string{"StopUnit": {"NoSuchUnit"}}}, "StartTransientUnit berth-c1.scope; StopUnit berth-c1.scope", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := startFake(t, &tc.f)
			c := f.dial(t)
			err := c.Start(t.Context(), u, 4711, []Property{{"TasksMax", uint64(5)}})
			if !errors.Is(err, tc.class) || (err != nil) != (tc.class != nil) {
				t.Errorf("start: %v, want %v", err, tc.class)
			}
			if err == nil {
				if err := c.Stop(t.Context(), u.Name); err != nil {
					t.Error(err)
				}
			}
			if d := cmp.Diff(tc.calls, f.end(t, c)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestManagerProperties(t *testing.T) {
	for text, want := range map[string]int{"252.38-1~deb12u1": 252, "v245.4-1.fc32": 245, "256": 256} {
		f := startFake(t, &fake{version: text, group: "/user.slice/u"})
		c := f.dial(t)
		if n, err := c.Version(t.Context()); n != want || err != nil {
			t.Errorf("%s: %d %v", text, n, err)
		}
		if g, err := c.ControlGroup(t.Context()); g != "/user.slice/u" || err != nil {
			t.Errorf("%q %v", g, err)
		}
		f.end(t, c)
	}
}

func TestSystemdSaysNo(t *testing.T) {
	f := startFake(t, &fake{errors: map[string][]string{"SetUnitProperties": {"PropertyReadOnly"}}})
	c := f.dial(t)
	err := c.Set(t.Context(), "x.scope", []Property{{"Slice", "a.slice"}})
	if err == nil || err.Error() != "change unit x.scope: it is PropertyReadOnly" {
		t.Errorf("%v", err)
	}
	f.end(t, c)
}

func TestSystemdDoesNotAnswer(t *testing.T) {
	f := startFake(t, &fake{})
	c := f.dial(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.within(ctx, func() error { _, err := c.receive(); return err })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	f.end(t, c)
}

func TestNoSystemd(t *testing.T) {
	if _, err := dial(t.Context(), address{filepath.Join(t.TempDir(), "none"), false}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	for _, tc := range []struct {
		env  map[string]string
		want []address
	}{
		{nil, nil},
		{map[string]string{"XDG_RUNTIME_DIR": "/run/user/5"}, []address{{"/run/user/5/systemd/private", false}, {"/run/user/5/bus", true}}},
		{map[string]string{"XDG_RUNTIME_DIR": "relative"}, nil},
		{map[string]string{"DBUS_SESSION_BUS_ADDRESS": "unix:path=/a,guid=1;tcp:host=x;unix:abstract=/b"}, []address{{"/a", true}}},
	} {
		if d := cmp.Diff(tc.want, addresses(true, env(tc.env)), cmp.AllowUnexported(address{})); d != "" {
			t.Error(d)
		}
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		path string
		user bool
		want string // the unit's cgroup
	}{
		{"", false, "/system.slice/berth-id.scope"},
		{"", true, "/m/user.slice/berth-id.scope"},
		{"machine.slice:libpod:abc", false, "/machine.slice/libpod-abc.scope"},
		{"a-b-c.slice:p:x", false, "/a.slice/a-b.slice/a-b-c.slice/p-x.scope"},
		{"-.slice:p:x", false, "/p-x.scope"},
		{"kubepods.slice:p:kubepods-pod1.slice", false, "/kubepods.slice/kubepods-pod1.slice"},
		{":p:x", false, "/system.slice/p-x.scope"},
	} {
		u, err := Parse(tc.path, "id", tc.user)
		if err != nil {
			t.Errorf("%s: %v", tc.path, err)
			continue
		}
		manager := ""
		if tc.user {
			manager = "/m"
		}
		if got, err := u.Path(manager); got != tc.want || err != nil {
			t.Errorf("%s: %s %v, want %s", tc.path, got, err, tc.want)
		}
	}
	for _, bad := range []string{"/a/b", "a:b", "a:b:c:d", "a.slice:p:x/y", "a:p:x", "../a.slice:p:x", "a--b.slice:p:x", "-a.slice:p:x", "a.slice:p:", ".slice:p:x", "..-a.slice:p:x", "a.slice:p:x\n"} {
		if u, err := Parse(bad, "id", false); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%q: %+v %v", bad, u, err)
		}
	}
}

func host(version int, controllers string) limit.Host {
	return func(c string) int {
		if strings.Contains(" "+controllers+" ", " "+c+" ") {
			return version
		}
		return 0
	}
}

func TestProperties(t *testing.T) {
	v2, v1 := host(2, "cpu memory pids cpuset io"), host(1, "cpu memory pids cpuset blkio")
	res := specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(300)), Reservation: ptr(int64(-1))},
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(12345)), Period: ptr(uint64(50000)), Cpus: "0-1,9", Mems: "0"},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(0))},
		BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(10))},
	}
	RoundQuota(&res)
	if *res.CPU.Quota != 12500 {
		t.Errorf("quota %d", *res.CPU.Quota)
	}
	for _, tc := range []struct {
		name string
		h    limit.Host
		res  specs.LinuxResources
		f    Features
		want map[string]any
	}{
		{"v2", v2, res, Features{}, map[string]any{
			"MemoryMax": uint64(100), "MemorySwapMax": uint64(200), "MemoryLow": uint64(math.MaxUint64), "CPUWeight": uint64(100),
			"CPUQuotaPeriodUSec": uint64(50000), "CPUQuotaPerSecUSec": uint64(250000), "AllowedCPUs": []byte{3, 2}, "AllowedMemoryNodes": []byte{1}, "TasksMax": uint64(1),
		}},
		{"v1", v1, res, Features{}, map[string]any{
			"MemoryLimit": uint64(100), "CPUShares": uint64(1024), "BlockIOWeight": uint64(10),
			"CPUQuotaPeriodUSec": uint64(50000), "CPUQuotaPerSecUSec": uint64(250000), "AllowedCPUs": []byte{3, 2}, "AllowedMemoryNodes": []byte{1}, "TasksMax": uint64(1),
		}},
		{"idle", v2, specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(1)), Shares: ptr(uint64(2))}}, FeaturesOf(252), map[string]any{"CPUWeight": uint64(0)}},
		{"idle of an old systemd", v2, specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(1))}}, FeaturesOf(251), map[string]any{}},
		{"unified", v2, specs.LinuxResources{Unified: map[string]string{
			"memory.high": "5", "memory.max": "max", "pids.max": "0", "cpu.max": "max 20000", "cpu.weight": "7", "cpuset.cpus": "1", "memory.oom.group": "1", "io.max": "8:0 rbps=1",
		}}, FeaturesOf(253), map[string]any{
			"MemoryHigh": uint64(5), "MemoryMax": uint64(math.MaxUint64), "TasksMax": uint64(1), "CPUQuotaPeriodUSec": uint64(20000),
			"CPUQuotaPerSecUSec": uint64(math.MaxUint64), "CPUWeight": uint64(7), "AllowedCPUs": []byte{2}, "OOMPolicy": "kill",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, err := Properties(tc.h, tc.f, &tc.res, true)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]any{}
			for _, p := range list {
				if _, twice := got[p.Name]; twice {
					t.Errorf("%s twice", p.Name)
				}
				got[p.Name] = p.Value
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			var e encoder
			if err := e.properties(list); err != nil {
				t.Error(err)
			}
		})
	}
	for _, u := range []map[string]string{{"memory.max": "much"}, {"cpu.max": "1 2 3"}, {"cpu.max": "0"}, {"cpuset.cpus": "3-1"}, {"cpu.max": "5 0"}} {
		if _, err := Properties(v2, Features{}, &specs.LinuxResources{Unified: u}, true); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%v: %v", u, err)
		}
	}
}

func TestDeviceProperties(t *testing.T) {
	const groups = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n136 other\n"
	rules, err := devicerule.Parse([]specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "b", Major: ptr(int64(8)), Minor: ptr(int64(1)), Access: "r"}, {Allow: true, Type: "c", Major: ptr(int64(77)), Access: "r"}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := devicerule.Emulate(rules)
	if err != nil {
		t.Fatal(err)
	}
	got := DeviceProperties(list, groups)
	want := [][2]string{
		{"/dev/block/8:1", "r"},
		{"char-*", "m"},
		{"block-*", "m"},
		{"/dev/char/1:3", "mrw"},
		{"/dev/char/1:5", "mrw"},
		{"/dev/char/1:7", "mrw"},
		{"/dev/char/1:8", "mrw"},
		{"/dev/char/1:9", "mrw"},
		{"/dev/char/5:0", "mrw"},
		{"/dev/char/5:2", "mrw"},
		{"char-pts", "mrw"},
	}
	if got[0] != (Property{"DevicePolicy", "strict"}) {
		t.Errorf("%v", got[0])
	}
	if d := cmp.Diff(want, got[2].Value); d != "" {
		t.Error(d)
	}
	if all := DeviceProperties(devicerule.Everything(), groups); all[0].Value != "auto" {
		t.Errorf("%v", all)
	}
}

func TestAnnotations(t *testing.T) {
	got, err := FromAnnotations(map[string]string{
		"org.systemd.property.TimeoutStopUSec": "uint64 30000000", "org.systemd.property.RuntimeMaxSec": "5", "org.systemd.property.After": "['a.target', \"b\"]",
		"org.systemd.property.CollectMode": "'inactive-or-failed'", "org.systemd.property.SendSIGHUP": "true", "other": "x",
	})
	want := []Property{
		{"After", []string{"a.target", "b"}},
		{"CollectMode", "inactive-or-failed"},
		{"RuntimeMaxUSec", uint64(5000000)},
		{"SendSIGHUP", true},
		{"TimeoutStopUSec", uint64(30000000)},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%v %v", want, got, err)
	}
	for _, bad := range []map[string]string{
		{"org.systemd.property.a/b": "1"},
		{"org.systemd.property.X1": "1"},
		{"org.systemd.property.Abc": "what"},
		{"org.systemd.property.Abc": "'open"},
		{"org.systemd.property.Abc": "['a' 'b']"},
		{"org.systemd.property.StopSec": "-5"},
		{"org.systemd.property.Abc": "uint32 4294967296"},
	} {
		if got, err := FromAnnotations(bad); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%v: %v %v", bad, got, err)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	var e encoder
	e.uint32(1)
	e.string("/job")
	e.string("unit")
	e.string("done")
	f.Add((&message{kind: signal, serial: 3, path: "/p", iface: "a.b", member: "JobRemoved", signature: "uoss", body: e.b}).encode())
	f.Add((&message{kind: errorReply, serial: 3, reply: 9, errorName: "a.b.C", target: "x", signature: "s"}).encode())
	f.Add([]byte("B\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readMessage(bytes.NewReader(data))
		if err != nil {
			return
		}
		_, _ = m.strings(1, 3)
		again, err := readMessage(bytes.NewReader(m.encode()))
		if strings.ContainsRune(m.path+m.iface+m.member+m.errorName+m.target, 0) || len(m.signature) > 255 {
			return
		}
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		if again.member != m.member || again.reply != m.reply || again.signature != m.signature || !bytes.Equal(again.body, m.body) {
			t.Fatalf("%+v, then %+v", m, again)
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add("0-2,7", "['a', 'b']", "a-b.slice:p:x")
	f.Fuzz(func(t *testing.T, list, variant, path string) {
		if mask, err := bits(list); err == nil && len(mask) > maxCPU/8 {
			t.Errorf("%q: %d bytes", list, len(mask))
		}
		if v, err := parseVariant(variant); err == nil {
			var e encoder
			if err := e.variant(v); err != nil {
				t.Errorf("%q: %v", variant, err)
			}
		}
		if u, err := Parse(path, "id", false); err == nil {
			p, err := u.Path("")
			if err != nil || strings.Contains(p, "..") && !strings.Contains(u.Name, "..") || !strings.HasPrefix(p, "/") {
				t.Errorf("%q: %q %v", path, p, err)
			}
		}
	})
}
