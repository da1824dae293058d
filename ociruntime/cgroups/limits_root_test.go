package cgroups

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestStatsMove(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c := mustCreate(t, l, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: ptr(int64(9))}})
		first, err := c.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if first.Memory.Limit != 64<<20 || first.Pids != (PidsStats{Current: 0, Limit: 9}) || first.CPU.Usage != 0 {
			t.Errorf("before: %+v", first)
		}
		start(t, c, "dd if=/dev/zero of="+t.TempDir()+"/f bs=1M count=8 2>/dev/null; dd if=/dev/zero of="+t.TempDir()+"/g bs=256k count=4 oflag=direct 2>/dev/null; while :; do :; done")
		eventually(t, "counters", func() bool {
			s, err := c.Stats()
			if err != nil {
				t.Fatal(err)
			}
			return s.CPU.Usage > 10e6 && s.CPU.User > 0 && s.CPU.Usage >= s.CPU.User && s.Memory.Usage > 4<<20 && s.Memory.Cache > 4<<20 &&
				s.Memory.Peak >= s.Memory.Usage && s.Pids.Current == 1 && s.Memory.Detail["pgfault"] > 0 &&
				slices.ContainsFunc(s.IOBytes, func(e IOEntry) bool { return e.Op == "Write" && e.Value >= 1<<20 }) &&
				slices.ContainsFunc(s.IOOps, func(e IOEntry) bool { return e.Op == "Write" && e.Value > 0 })
		})
	})
}

func TestThrottlingIsCounted(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c := mustCreate(t, l, &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5000)), Period: ptr(uint64(50000))}})
		start(t, c, "while :; do :; done")
		eventually(t, "throttled", func() bool {
			s, err := c.Stats()
			return err == nil && s.CPU.Throttled > 1 && s.CPU.ThrottledTime > 10e6 && s.CPU.Periods >= s.CPU.Throttled
		})
	})
}

func TestUpdate(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		swap := l.SwapAccounting()
		limit := func(n int64) *specs.LinuxMemory {
			m := &specs.LinuxMemory{Limit: ptr(n)}
			if swap {
				m.Swap = ptr(2 * n)
			}
			return m
		}
		c := mustCreate(t, l, &specs.LinuxResources{Memory: limit(64 << 20), CPU: &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(20000))}})
		start(t, c, "exec sleep 100")
		memory := func() uint64 {
			s, err := c.Stats()
			if err != nil {
				t.Fatal(err)
			}
			return s.Memory.Limit
		}
		// Up past the old limit with swap, and down again: each way one file has to go first.
		for _, mb := range []uint64{256, 32} {
			if err := c.Update(t.Context(), &specs.LinuxResources{Memory: limit(int64(mb) << 20)}); err != nil {
				t.Fatal(err)
			}
			if got := memory(); got != mb<<20 {
				t.Errorf("limit %d, want %d MiB", got, mb)
			}
		}
		// A quota below the burst, given together with a burst that fits it.
		if err := c.Update(t.Context(), &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(10000)), Burst: ptr(uint64(5000))}}); err != nil {
			t.Fatal(err)
		}
		// One that fails takes back the other.
		err := c.Update(t.Context(), &specs.LinuxResources{Memory: limit(48 << 20), CPU: &specs.LinuxCPU{Cpus: "4000"}})
		var bad *LimitError
		if !errors.As(err, &bad) || bad.Flag != "--cpuset-cpus" {
			t.Fatalf("unknown CPU: %v", err)
		}
		if got := memory(); got != 32<<20 {
			t.Errorf("limit after the failure %d, want the old 32 MiB", got)
		}
		if err := c.Update(t.Context(), &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(4096)), CheckBeforeUpdate: ptr(true)}}); !errors.Is(err, errdefs.ErrFailedPrecondition) {
			t.Errorf("limit below use: %v", err)
		}
		if err := c.Update(t.Context(), &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1))}}); err != nil {
			t.Fatal(err)
		}
		if got := memory(); got != Unlimited {
			t.Errorf("limit %d, want none", got)
		}
	})
}

func TestRefusedLimitLeavesNothing(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		for _, tc := range []struct {
			flag string
			res  specs.LinuxResources
		}{
			{"--cpuset-cpus", specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}},
			{"--cpu-period", specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(7))}}},
			{"--device-read-bps", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{
				{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 4000, Minor: 5}, Rate: 5},
			}}}},
			{"hugepageLimits", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}}},
		} {
			path := testRoot + "/" + rand.Text()
			_, err := l.create(t.Context(), path, &tc.res)
			var limit *LimitError
			if !errors.As(err, &limit) || limit.Flag != tc.flag || limit.Remedy == "" && !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%s: %v", tc.flag, err)
			}
			if _, err := l.open(path); !errors.Is(err, errdefs.ErrNotFound) {
				t.Errorf("%s: something is left: %v", tc.flag, err)
			}
		}
	})
}

func TestDeviceThrottle(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		data, err := os.ReadFile("/sys/block/vda/dev")
		if err != nil {
			t.Skip("no /dev/vda")
		}
		var major, minor int64
		_, err = fmt.Sscanf(string(data), "%d:%d", &major, &minor)
		if err != nil {
			t.Fatal(err)
		}
		c := mustCreate(t, l, &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(300)), ThrottleWriteBpsDevice: []specs.LinuxThrottleDevice{
			{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: major, Minor: minor}, Rate: 1 << 20},
		}}})
		file, want := "blkio.throttle.write_bps_device", string(data[:len(data)-1])+" 1048576"
		controller := "blkio"
		if _, v := l.find("io"); v == 2 {
			controller, file, want = "io", "io.max", string(data[:len(data)-1])+" rbps=max wbps=1048576 riops=max wiops=max"
		}
		if got := c.readTest(t, controller, file); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func TestConcurrentCreateAndList(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		prefix := testRoot + "/" + rand.Text() + "/deep"
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				c, err := l.create(t.Context(), prefix+"/"+strconv.Itoa(i), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}, CPU: &specs.LinuxCPU{Cpus: "0"}})
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 { // the odd ones stay, as after a kill -9
					if err := c.Delete(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		left, err := l.list(prefix)
		if want := []string{prefix + "/1", prefix + "/3", prefix + "/5", prefix + "/7"}; err != nil || !slices.Equal(left, want) {
			t.Fatalf("%v %v", left, err)
		}
		// One that is left in a single hierarchy is found and removed too.
		one := l.At(prefix + "/1")
		for _, d := range one.dirs()[1:] {
			if err := os.Remove(d); err != nil {
				t.Fatal(err)
			}
		}
		if left, err = l.list(prefix); err != nil || len(left) != 4 {
			t.Fatalf("%v %v", left, err)
		}
		top, err := l.open(strings.TrimSuffix(prefix, "/deep"))
		if err != nil {
			t.Fatal(err)
		}
		if err := top.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err = l.list(prefix); err != nil || len(left) != 0 {
			t.Fatalf("%v %v", left, err)
		}
	})
}

func TestLeftoverIsReplaced(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c := mustCreate(t, l, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}})
		if _, err := l.create(t.Context(), c.Path(), nil); err != nil {
			t.Fatal(err)
		}
		if got := c.readTest(t, "pids", "pids.max"); got != "max" {
			t.Errorf("the limit of the one before is still there: %s", got)
		}
	})
}
