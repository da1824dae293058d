package limit

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Ranges that the kernel's version 1 files take without saying so when they
// clamp (cgroup-v1/cpu, sched_group_set_shares).
const (
	minShares = 2
	maxShares = 1 << 18
)

// memoryV1 leaves out memory.kernel, a limit that no kernel since 5.16 has, and
// memory.useHierarchy, which all since 5.11 do.
func memoryV1(m *specs.LinuxMemory) []Setting {
	var out []Setting
	add := func(flag, file, value string) *Setting {
		out = append(out, Setting{Flag: flag, Controller: "memory", File: file, Value: value})
		return &out[len(out)-1]
	}
	swap := m.Swap
	if IsSet(m.Limit) {
		add("--memory", "memory.limit_in_bytes", number(*m.Limit))
		if *m.Limit == -1 && swap == nil {
			swap = m.Limit // unlimited memory is above any limit with swap
		}
	}
	if IsSet(swap) {
		add("--memory-swap", "memory.memsw.limit_in_bytes", number(*swap)).Optional = *swap == -1
	}
	if IsSet(m.Reservation) {
		add("--memory-reservation", "memory.soft_limit_in_bytes", number(*m.Reservation))
	}
	if IsSet(m.KernelTCP) {
		add("memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", number(*m.KernelTCP))
	}
	if swappiness(m) {
		add("--memory-swappiness", "memory.swappiness", number(*m.Swappiness))
	}
	if m.DisableOOMKiller != nil {
		value := "0"
		if *m.DisableOOMKiller {
			value = "1"
		}
		add("--oom-kill-disable", "memory.oom_control", value).Fresh = value == "0"
	}
	return out
}

func cpuV1(c *specs.LinuxCPU) []Setting {
	var out []Setting
	add := func(flag, file, value string) {
		out = append(out, Setting{Flag: flag, Controller: "cpu", File: file, Value: value})
	}
	if IsSet(c.Shares) {
		add("--cpu-shares", "cpu.shares", number(*c.Shares))
	}
	if IsSet(c.Period) {
		add("--cpu-period", "cpu.cfs_period_us", number(*c.Period))
	}
	if IsSet(c.Quota) {
		add("--cpus or --cpu-quota", "cpu.cfs_quota_us", number(*c.Quota))
	}
	if c.Burst != nil {
		add("cpu.burst", "cpu.cfs_burst_us", number(*c.Burst))
	}
	if IsSet(c.RealtimePeriod) {
		add("--cpu-rt-period", "cpu.rt_period_us", number(*c.RealtimePeriod))
	}
	if IsSet(c.RealtimeRuntime) {
		add("--cpu-rt-runtime", "cpu.rt_runtime_us", number(*c.RealtimeRuntime))
	}
	if c.Idle != nil {
		add("cpu.idle", "cpu.idle", number(*c.Idle))
	}
	return out
}

func blkioV1(b *specs.LinuxBlockIO) []Setting {
	var out []Setting
	add := func(flag, file, value, or string) {
		s := Setting{Flag: flag, Controller: "blkio", File: file, Value: value}
		if or != "" {
			alt := s
			alt.File = or
			s.Or = &alt
		}
		out = append(out, s)
	}
	if IsSet(b.Weight) {
		add("--blkio-weight", "blkio.bfq.weight", number(*b.Weight), "blkio.weight")
	}
	if IsSet(b.LeafWeight) {
		add("blockIO.leafWeight", "blkio.leaf_weight", number(*b.LeafWeight), "")
	}
	for _, d := range b.WeightDevice {
		if IsSet(d.Weight) {
			add("--blkio-weight-device", "blkio.bfq.weight_device", device(d.Major, d.Minor)+" "+number(*d.Weight), "blkio.weight_device")
		}
		if IsSet(d.LeafWeight) {
			add("blockIO.weightDevice.leafWeight", "blkio.leaf_weight_device", device(d.Major, d.Minor)+" "+number(*d.LeafWeight), "")
		}
	}
	for _, t := range throttles(b) {
		for _, d := range t.devices {
			add(t.flag, t.v1, device(d.Major, d.Minor)+" "+number(d.Rate), "")
		}
	}
	return out
}

// throttle is one of the four kinds of device rate limits.
type throttle struct {
	flag    string
	v1      string // file
	v2      string // key in io.max
	devices []specs.LinuxThrottleDevice
}

func throttles(b *specs.LinuxBlockIO) []throttle {
	return []throttle{
		{"--device-read-bps", "blkio.throttle.read_bps_device", "rbps", b.ThrottleReadBpsDevice},
		{"--device-write-bps", "blkio.throttle.write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"--device-read-iops", "blkio.throttle.read_iops_device", "riops", b.ThrottleReadIOPSDevice},
		{"--device-write-iops", "blkio.throttle.write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	}
}

func device(major, minor int64) string {
	return strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10)
}

// IsSet tells whether an optional field of the spec asks for something: in
// these fields zero has always meant "leave it".
func IsSet[T comparable](p *T) bool {
	var zero T
	return p != nil && *p != zero
}
