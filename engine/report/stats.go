package report

import (
	"strings"
	"time"

	"berth/container/proctable"
	"berth/ociruntime/cgroups"

	mcontainer "github.com/moby/moby/api/types/container"
)

// Stats puts what the kernel has counted into Docker's words; machine is the
// memory of the host in bytes, the most that a limit can be.
func Stats(out *mcontainer.StatsResponse, s *cgroups.Stats, machine uint64) {
	out.Read = s.Read
	fillCPU(&out.CPUStats, s.CPU)
	fillMemory(&out.MemoryStats, s.Memory, machine)
	out.PidsStats = mcontainer.PidsStats{Current: s.Pids.Current, Limit: limited(s.Pids.Limit)}
	out.BlkioStats = mcontainer.BlkioStats{IoServiceBytesRecursive: entries(s.IOBytes), IoServicedRecursive: entries(s.IOOps)}
}

func fillCPU(out *mcontainer.CPUStats, s cgroups.CPUStats) {
	_, total, cpus := proctable.Total()
	out.CPUUsage = mcontainer.CPUUsage{
		TotalUsage: s.Usage, PercpuUsage: s.PerCPU, UsageInKernelmode: s.System, UsageInUsermode: s.User,
	}
	out.SystemUsage = total * uint64(time.Second/proctable.Ticks)
	out.OnlineCPUs = cpus
	out.ThrottlingData = mcontainer.ThrottlingData{
		Periods: s.Periods, ThrottledPeriods: s.Throttled, ThrottledTime: s.ThrottledTime,
	}
}

func fillMemory(out *mcontainer.MemoryStats, s cgroups.MemoryStats, machine uint64) {
	out.Usage, out.MaxUsage, out.Failcnt, out.Stats = s.Usage, s.Peak, s.Failures, s.Detail
	out.Limit = min(s.Limit, machine)
}

// limited shows an unlimited value as 0, as Docker does for pids.
func limited(n uint64) uint64 {
	if n == cgroups.Unlimited {
		return 0
	}
	return n
}

func entries(list []cgroups.IOEntry) []mcontainer.BlkioStatEntry {
	out := make([]mcontainer.BlkioStatEntry, 0, len(list))
	for _, s := range list {
		out = append(out, mcontainer.BlkioStatEntry{Major: s.Major, Minor: s.Minor, Op: strings.ToLower(s.Op), Value: s.Value})
	}
	return out
}
