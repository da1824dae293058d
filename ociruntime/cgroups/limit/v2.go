package limit

import (
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func memoryV2(m *specs.LinuxMemory) ([]Setting, error) {
	var out []Setting
	add := func(flag, file, value string) *Setting {
		out = append(out, Setting{Flag: flag, Controller: "memory", File: file, Value: value})
		return &out[len(out)-1]
	}
	if IsSet(m.Limit) {
		add("--memory", "memory.max", orMax(*m.Limit))
	}
	swap, set, err := SwapMax(m)
	if err != nil {
		return nil, err
	}
	if set {
		add("--memory-swap", "memory.swap.max", orMax(swap)).Optional = swap <= 0
	}
	if IsSet(m.Reservation) {
		add("--memory-reservation", "memory.low", orMax(*m.Reservation))
	}
	switch {
	case IsSet(m.KernelTCP):
		return nil, needsV1("memory.kernelTCP")
	case swappiness(m):
		return nil, needsV1("--memory-swappiness")
	case m.DisableOOMKiller != nil && *m.DisableOOMKiller:
		return nil, needsV1("--oom-kill-disable")
	}
	return out, nil
}

// swappiness tells whether one is asked for: some engines write -1 for none.
func swappiness(m *specs.LinuxMemory) bool {
	return m.Swappiness != nil && *m.Swappiness != math.MaxUint64
}

// SwapMax turns the spec's limit of memory and swap together into version 2's
// limit of swap alone; -1 is unlimited.
func SwapMax(m *specs.LinuxMemory) (swap int64, set bool, err error) {
	limit := int64(0)
	if m.Limit != nil {
		limit = *m.Limit
	}
	if !IsSet(m.Swap) {
		return -1, limit == -1, nil // as version 1: unlimited memory takes swap with it
	}
	both := *m.Swap
	switch {
	case both == -1, limit == -1:
		return both, true, nil
	case limit == 0:
		return 0, false, Invalid("--memory-swap", number(both), "it counts memory and swap together and needs --memory beside it")
	}
	return both - limit, true, nil
}

func cpuV2(c *specs.LinuxCPU) ([]Setting, error) {
	var out []Setting
	add := func(flag, file, value string) {
		out = append(out, Setting{Flag: flag, Controller: "cpu", File: file, Value: value})
	}
	idle := c.Idle != nil && *c.Idle == 1
	if c.Idle != nil {
		add("cpu.idle", "cpu.idle", number(*c.Idle))
	}
	if IsSet(c.Shares) && !idle { // an idle group has no weight to set
		add("--cpu-shares", "cpu.weight", number(CPUWeight(*c.Shares)))
	}
	if IsSet(c.Quota) || IsSet(c.Period) {
		value := "max"
		if IsSet(c.Quota) && *c.Quota > 0 {
			value = number(*c.Quota)
		}
		flag := "--cpus or --cpu-quota"
		if IsSet(c.Period) {
			value += " " + number(*c.Period)
			if !IsSet(c.Quota) {
				flag = "--cpu-period"
			}
		}
		add(flag, "cpu.max", value)
	}
	if c.Burst != nil {
		add("cpu.burst", "cpu.max.burst", number(*c.Burst))
	}
	if IsSet(c.RealtimePeriod) {
		return nil, needsV1("--cpu-rt-period")
	}
	if IsSet(c.RealtimeRuntime) {
		return nil, needsV1("--cpu-rt-runtime")
	}
	return out, nil
}

// CPUWeight turns version 1's shares (2 to 262144, normally 1024) into version
// 2's weight (1 to 10000, normally 100) by the curve that meets all three
// points, as runc 1.3.2, crun 1.23 and Kubernetes do.
func CPUWeight(shares uint64) uint64 {
	switch {
	case shares <= minShares:
		return 1
	case shares >= maxShares:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

func ioV2(b *specs.LinuxBlockIO) ([]Setting, error) {
	var out []Setting
	if IsSet(b.LeafWeight) {
		return nil, needsV1("blockIO.leafWeight")
	}
	// BFQ takes version 1's range; io.cost's io.weight has a wider one.
	weight := func(flag, prefix string, w uint16) {
		or := Setting{Flag: flag, Controller: "io", File: "io.weight", Value: prefix + number(ioWeight(w))}
		out = append(out, Setting{Flag: flag, Controller: "io", File: "io.bfq.weight", Value: prefix + number(w), Or: &or})
	}
	if IsSet(b.Weight) {
		weight("--blkio-weight", "default ", *b.Weight)
	}
	for _, d := range b.WeightDevice {
		if IsSet(d.LeafWeight) {
			return nil, needsV1("blockIO.weightDevice.leafWeight")
		}
		if IsSet(d.Weight) {
			weight("--blkio-weight-device", device(d.Major, d.Minor)+" ", *d.Weight)
		}
	}
	for _, t := range throttles(b) {
		for _, d := range t.devices {
			rate := "max"
			if d.Rate > 0 {
				rate = number(d.Rate)
			}
			out = append(out, Setting{Flag: t.flag, Controller: "io", File: "io.max", Value: device(d.Major, d.Minor) + " " + t.v2 + "=" + rate})
		}
	}
	return out, nil
}

// ioWeight maps 10..1000 onto 1..10000.
func ioWeight(w uint16) uint64 { return 1 + (uint64(w)-minWeight)*9999/(maxWeight-minWeight) }

// orMax writes -1 as version 2 does.
func orMax(n int64) string {
	if n == -1 {
		return "max"
	}
	return number(n)
}
