package cgroups

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"berth/internal/linux"
	"berth/internal/testutil"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func rule(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	r := specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Access: access}
	if major >= 0 {
		r.Major = &major
	}
	if minor >= 0 {
		r.Minor = &minor
	}
	return r
}

// deviceLayouts runs f for both ways to say device rules, where the host has them.
func deviceLayouts(t *testing.T, f func(t *testing.T, l Layout)) {
	testutil.RequireRoot(t)
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	t.Run(l.Mode().String(), func(t *testing.T) { f(t, l) })
	if l.Mode() == Hybrid {
		t.Run("eBPF", func(t *testing.T) { // the version 2 way, which works on a hybrid host too
			var v1 []Hierarchy
			for _, h := range l.V1 {
				if !h.has("devices") {
					v1 = append(v1, h)
				}
			}
			l.V1 = v1
			f(t, l)
		})
	}
}

func TestDeviceRules(t *testing.T) {
	deviceLayouts(t, func(t *testing.T, l Layout) {
		c := mustCreate(t, l, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{rule(false, "", -1, -1, "rwm"), rule(true, "c", 1, 11, "r")}})
		script := `cd ` + t.TempDir() + `
cat /dev/null && head -c1 /dev/zero >/dev/null || exit 10    # standard devices are open
mknod k c 10 237 || exit 11                                   # making a node is allowed
(: < k) 2>/dev/null && exit 12                                # opening it (loop-control) is not
mknod r c 1 11 || exit 13
(: < r) || exit 14                                            # kmsg: reading was allowed
(: > r) 2>/dev/null && exit 15
exit 0`
		if err := start(t, c, script).Wait(); err != nil {
			t.Error(err)
		}
	})
}

// may runs a shell that opens the device for reading in c.
func may(t *testing.T, c *Cgroup, device string) bool {
	t.Helper()
	return start(t, c, "cd "+t.TempDir()+" && mknod d c "+device+" && (: < d) 2>/dev/null").Wait() == nil
}

func TestDeviceRulesChange(t *testing.T) {
	const kmsg, loop = "1 11", "10 237"
	deviceLayouts(t, func(t *testing.T, l Layout) {
		c := mustMake(t, l, Args{Path: testRoot + "/" + rand.Text()})
		again := Record.Open
		for _, step := range []struct {
			name       string
			rules      []specs.LinuxDeviceCgroup
			kmsg, loop bool
		}{
			{"one", []specs.LinuxDeviceCgroup{rule(true, "c", 1, 11, "r")}, true, false},
			{"another", []specs.LinuxDeviceCgroup{rule(true, "c", 10, -1, "rw")}, false, true},
			{"all", []specs.LinuxDeviceCgroup{rule(true, "a", -1, -1, "rwm")}, true, true},
			{"none", []specs.LinuxDeviceCgroup{rule(false, "a", -1, -1, "rwm")}, false, false},
		} {
			c, err := again(c.Record()) // as a later command finds it
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Update(t.Context(), &specs.LinuxResources{Devices: step.rules}); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if k, l := may(t, c, kmsg), may(t, c, loop); k != step.kmsg || l != step.loop {
				t.Errorf("%s: kmsg %v, loop %v", step.name, k, l)
			}
			if !may(t, c, "1 3") {
				t.Errorf("%s: /dev/null is closed", step.name)
			}
		}
		if c.unified != "" { // one program, however often it was replaced
			dir, err := os.Open(c.unified)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			if n, err := linux.CountDevicePrograms(dir); err != nil || n > 1 {
				t.Errorf("%d programs: %v", n, err)
			}
		}
	})
}

// An exception from an exception is more than version 1's list can say.
func TestDeviceRulesBeyondVersionOne(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		rules := []specs.LinuxDeviceCgroup{rule(true, "c", 10, -1, "rw"), rule(false, "c", 10, 237, "rw"), rule(true, "c", 1, 11, "r")}
		c, err := l.makeFor(t.Context(), Args{Path: testRoot + "/" + rand.Text(), Resources: &specs.LinuxResources{Devices: rules}})
		if l.Mode() == V1 {
			if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), "exception") {
				t.Errorf("%v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Delete(t.Context()); err != nil {
				t.Error(err)
			}
		})
		check := func(kmsg, loop bool) {
			t.Helper()
			if k, l := may(t, c, "1 11"), may(t, c, "10 237"); k != kmsg || l != loop {
				t.Errorf("kmsg %v, loop %v", k, l)
			}
		}
		check(true, false)
		for _, step := range []struct {
			rules      []specs.LinuxDeviceCgroup
			kmsg, loop bool
		}{
			{[]specs.LinuxDeviceCgroup{rule(true, "c", 10, 237, "r")}, false, true},
			{rules, true, false},
		} {
			if err := c.Update(t.Context(), &specs.LinuxResources{Devices: step.rules}); err != nil {
				t.Fatal(err)
			}
			check(step.kmsg, step.loop)
		}
	})
}
