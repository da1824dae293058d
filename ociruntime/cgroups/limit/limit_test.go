package limit

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// host has the controllers in hierarchies of one version.
func host(version int, controllers ...string) Host {
	return func(c string) int {
		if slices.Contains(controllers, c) {
			return version
		}
		return 0
	}
}

func v1Host() Host {
	return host(1, "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls", "net_prio", "rdma")
}

func v2Host() Host {
	return host(2, Core, "cpu", "cpuset", "io", "memory", "hugetlb", "pids", "rdma", "misc")
}

func ptr[T any](v T) *T { return &v }

func everyLimit() *specs.LinuxResources {
	dev := specs.LinuxBlockIODevice{Major: 8, Minor: 16}
	weight := specs.LinuxWeightDevice{Weight: ptr(uint16(20))}
	weight.LinuxBlockIODevice = dev
	return &specs.LinuxResources{
		Memory:         &specs.LinuxMemory{Limit: ptr(int64(1000)), Swap: ptr(int64(3000)), Reservation: ptr(int64(500))},
		CPU:            &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(150000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(0)), Cpus: "0-1", Mems: "0"},
		Pids:           &specs.LinuxPids{Limit: ptr(int64(-1))},
		BlockIO:        &specs.LinuxBlockIO{Weight: ptr(uint16(500)), WeightDevice: []specs.LinuxWeightDevice{weight}, ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev, Rate: 1 << 20}}},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4}},
		Rdma:           map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: ptr(uint32(3))}},
	}
}

func lines(settings []Setting) string {
	var b strings.Builder
	for _, s := range settings {
		for p := &s; p != nil; p = p.Or {
			b.WriteString(strings.Repeat("  or ", min(1, len(s.File)*b2i(p != &s))) + p.Flag + ": " + p.Controller + "/" + p.File + " = " + p.Value + "\n")
		}
	}
	return b.String()
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestSettings(t *testing.T) {
	for _, tc := range []struct {
		name string
		h    Host
		want string
	}{
		{"v1", v1Host(), `--memory: memory/memory.limit_in_bytes = 1000
--memory-swap: memory/memory.memsw.limit_in_bytes = 3000
--memory-reservation: memory/memory.soft_limit_in_bytes = 500
--cpu-shares: cpu/cpu.shares = 1024
--cpu-period: cpu/cpu.cfs_period_us = 100000
--cpus or --cpu-quota: cpu/cpu.cfs_quota_us = 150000
cpu.burst: cpu/cpu.cfs_burst_us = 0
--cpuset-cpus: cpuset/cpuset.cpus = 0-1
--cpuset-mems: cpuset/cpuset.mems = 0
--pids-limit: pids/pids.max = max
--blkio-weight: blkio/blkio.bfq.weight = 500
  or --blkio-weight: blkio/blkio.weight = 500
--blkio-weight-device: blkio/blkio.bfq.weight_device = 8:16 20
  or --blkio-weight-device: blkio/blkio.weight_device = 8:16 20
--device-read-bps: blkio/blkio.throttle.read_bps_device = 8:16 1048576
hugepageLimits: hugetlb/hugetlb.2MB.limit_in_bytes = 4
hugepageLimits: hugetlb/hugetlb.2MB.rsvd.limit_in_bytes = 4
rdma: rdma/rdma.max = mlx5_1 hca_handle=3
`},
		{"v2", v2Host(), `--memory: memory/memory.max = 1000
--memory-swap: memory/memory.swap.max = 2000
--memory-reservation: memory/memory.low = 500
--cpu-shares: cpu/cpu.weight = 100
--cpus or --cpu-quota: cpu/cpu.max = 150000 100000
cpu.burst: cpu/cpu.max.burst = 0
--cpuset-cpus: cpuset/cpuset.cpus = 0-1
--cpuset-mems: cpuset/cpuset.mems = 0
--pids-limit: pids/pids.max = max
--blkio-weight: io/io.bfq.weight = default 500
  or --blkio-weight: io/io.weight = default 4950
--blkio-weight-device: io/io.bfq.weight = 8:16 20
  or --blkio-weight-device: io/io.weight = 8:16 102
--device-read-bps: io/io.max = 8:16 rbps=1048576
hugepageLimits: hugetlb/hugetlb.2MB.max = 4
hugepageLimits: hugetlb/hugetlb.2MB.rsvd.max = 4
rdma: rdma/rdma.max = mlx5_1 hca_handle=3
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := Compile(tc.h, everyLimit())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, lines(s)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSettingsRefused(t *testing.T) {
	mem := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	bad, no := error(errdefs.ErrInvalidArgument), error(errdefs.ErrFailedPrecondition)
	none := host(2, Core)
	for _, tc := range []struct {
		name  string
		h     Host
		res   specs.LinuxResources
		class error
		flag  string
	}{
		{"negative memory", v1Host(), mem(specs.LinuxMemory{Limit: ptr(int64(-2))}), bad, "--memory"},
		{"swap below memory", v1Host(), mem(specs.LinuxMemory{Limit: ptr(int64(9)), Swap: ptr(int64(8))}), bad, "--memory-swap"},
		{"swap without memory", v2Host(), mem(specs.LinuxMemory{Swap: ptr(int64(8))}), bad, "--memory-swap"},
		{"swappiness over 100", v1Host(), mem(specs.LinuxMemory{Swappiness: ptr(uint64(101))}), bad, "--memory-swappiness"},
		{"swappiness on v2", v2Host(), mem(specs.LinuxMemory{Swappiness: ptr(uint64(10))}), no, "--memory-swappiness"},
		{"oom kill disable on v2", v2Host(), mem(specs.LinuxMemory{DisableOOMKiller: ptr(true)}), no, "--oom-kill-disable"},
		{"no memory controller", none, mem(specs.LinuxMemory{Limit: ptr(int64(8))}), no, "--memory"},
		{"no cpu controller", none, cpu(specs.LinuxCPU{Shares: ptr(uint64(8))}), no, "--cpu-shares"},
		{"no cpuset controller", none, cpu(specs.LinuxCPU{Cpus: "0"}), no, "--cpuset-cpus"},
		{"no pids controller", none, specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(8))}}, no, "--pids-limit"},
		{"no io controller", none, specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(10))}}, no, "--blkio-weight"},
		{"one share", v1Host(), cpu(specs.LinuxCPU{Shares: ptr(uint64(1))}), bad, "--cpu-shares"},
		{"cpus are words", v1Host(), cpu(specs.LinuxCPU{Cpus: "0\n1"}), bad, "--cpuset-cpus"},
		{"real time on v2", v2Host(), cpu(specs.LinuxCPU{RealtimeRuntime: ptr(int64(5))}), no, "--cpu-rt-runtime"},
		{"weight 9", v1Host(), specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(9))}}, bad, "--blkio-weight"},
		{"page size is a path", v1Host(), specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../2MB"}}}, bad, "hugepageLimits"},
		{"unified is a path", v2Host(), specs.LinuxResources{Unified: map[string]string{"memory.x/../../y": "1"}}, bad, "unified"},
		{"unified kills", v2Host(), specs.LinuxResources{Unified: map[string]string{"cgroup.kill": "1"}}, bad, "unified"},
		{"unified on v1", v1Host(), specs.LinuxResources{Unified: map[string]string{"memory.high": "1"}}, no, "unified.memory.high"},
		{"network class on v2", v2Host(), specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))}}, no, "network.classID"},
		{"priority of two words", v1Host(), specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "a b"}}}}, bad, "network.priorities"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Compile(tc.h, &tc.res)
			var limit *Error
			if !errors.As(err, &limit) || !errors.Is(err, tc.class) || limit.Flag != tc.flag {
				t.Errorf("got %v, want %s of class %v", err, tc.flag, tc.class)
			}
		})
	}
}

func TestNothingAskedNothingWritten(t *testing.T) {
	zero := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(0))}, CPU: &specs.LinuxCPU{}, Pids: &specs.LinuxPids{}, BlockIO: &specs.LinuxBlockIO{}}
	for _, r := range []*specs.LinuxResources{nil, {}, zero, {Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}} {
		if s, err := Compile(host(2, Core), r); err != nil || len(s) > 0 {
			t.Errorf("%v %v", s, err)
		}
	}
}

func kernelMemory() specs.LinuxResources {
	return specs.LinuxResources{Memory: &specs.LinuxMemory{Kernel: ptr(int64(5))}} //nolint:staticcheck // engines still send it
}

func TestOddValues(t *testing.T) {
	for _, tc := range []struct {
		name string
		h    Host
		res  specs.LinuxResources
		want string
	}{
		{"swappiness -1 is none", v2Host(), specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(math.MaxUint64))}}, ""},
		{"kernel memory is no more", v1Host(), kernelMemory(), ""},
		{"memory is always hierarchical", v1Host(), specs.LinuxResources{Memory: &specs.LinuxMemory{UseHierarchy: ptr(false)}}, ""},
		{
			"no limit at all, v1", v1Host(),
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Reservation: ptr(int64(-1))}, CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}},
			"memory.limit_in_bytes=-1 memory.memsw.limit_in_bytes=-1 memory.soft_limit_in_bytes=-1 cpu.cfs_quota_us=-1",
		},
		{
			"no limit at all, v2", v2Host(),
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Reservation: ptr(int64(-1))}, CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}},
			"memory.max=max memory.swap.max=max memory.low=max cpu.max=max",
		},
		{"swap as much as memory is none", v2Host(), specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(5)), Swap: ptr(int64(5))}}, "memory.max=5 memory.swap.max=0"},
		{"pids 0", v2Host(), specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}}, "pids.max=1"},
		{"one share is clamped on v2", v2Host(), specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(1))}}, "cpu.weight=1"},
		{"idle has no weight", v2Host(), specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(1024)), Idle: ptr(int64(1))}}, "cpu.idle=1"},
		{"unified, a line at a time, in order", v2Host(), specs.LinuxResources{Unified: map[string]string{
			"memory.high": "7", "io.max": "8:0 rbps=1\n8:16 rbps=2\n", "hugetlb.2MB.max": "0", "cgroup.max.depth": "3",
		}}, "cgroup.max.depth=3 hugetlb.2MB.max=0 io.max=8:0 rbps=1 io.max=8:16 rbps=2 memory.high=7"},
		{
			"network", v1Host(),
			specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(0x100001)), Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 3}}}},
			"net_cls.classid=1048577 net_prio.ifpriomap=lo 3",
		},
		{"real time", v1Host(), specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimePeriod: ptr(uint64(9)), RealtimeRuntime: ptr(int64(8))}}, "cpu.rt_period_us=9 cpu.rt_runtime_us=8"},
		{"leaf weights", v1Host(), specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: ptr(uint16(10))}}, "blkio.leaf_weight=10"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			settings, err := Compile(tc.h, &tc.res)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range settings {
				got = append(got, s.File+"="+s.Value)
			}
			if d := cmp.Diff(tc.want, strings.Join(got, " ")); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"memory":{"limit":5},"unified":{"memory.high":"1"},"hugepageLimits":[{"pageSize":"2MB","limit":1}],"rdma":{"a":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r specs.LinuxResources
		if json.Unmarshal(data, &r) != nil {
			return
		}
		for _, h := range []Host{v1Host(), v2Host()} {
			settings, err := Compile(h, &r)
			if err != nil {
				continue
			}
			for _, s := range settings {
				if strings.ContainsAny(s.File, "/\x00\n") || strings.Contains(s.Value, "\n") || s.Flag == "" || h(s.Controller) == 0 {
					t.Errorf("%+v", s)
				}
			}
		}
	})
}

func TestCPUWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{2: 1, 1024: 100, 262144: 10000, 512: 59, 4096: 303} {
		if got := CPUWeight(shares); got != want {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
}
