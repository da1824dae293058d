package engine

import (
	"context"
	"strings"
	"time"

	"berth/container/proctable"
	"berth/ociruntime/cgroups"

	mcontainer "github.com/moby/moby/api/types/container"
)

// Stats tells what the kernel has counted for a container. One that does not
// run has only its name.
func (e *Engine) Stats(_ context.Context, ref string) (mcontainer.StatsResponse, error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return mcontainer.StatsResponse{}, err
	}
	out := mcontainer.StatsResponse{ID: c.ID(), Name: "/" + c.Record().Name, OSType: "linux"}
	p, err := e.liveOf(c).running(c.Record().Name)
	if err != nil || p.Cgroup() == nil {
		return out, nil //nolint:nilerr // Docker answers zeros
	}
	s, err := p.Cgroup().Stats()
	if err != nil {
		return out, err
	}
	host, err := e.Host()
	if err != nil {
		return out, err
	}
	out.Read = s.Read
	fillCPU(&out.CPUStats, s.CPU)
	fillMemory(&out.MemoryStats, s.Memory, uint64(host.Memory))
	out.PidsStats = mcontainer.PidsStats{Current: s.Pids.Current, Limit: limited(s.Pids.Limit)}
	out.BlkioStats = mcontainer.BlkioStats{IoServiceBytesRecursive: entries(s.IOBytes), IoServicedRecursive: entries(s.IOOps)}
	return out, nil
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

// Top lists a container's processes, seen from the host: nothing runs in the
// container, so a fake ps there tells nothing.
func (e *Engine) Top(_ context.Context, ref string) (mcontainer.TopResponse, error) {
	top := mcontainer.TopResponse{Titles: proctable.Titles(), Processes: [][]string{}}
	c, err := e.records.Get(ref)
	if err != nil {
		return top, err
	}
	p, err := e.liveOf(c).running(c.Record().Name)
	if err != nil {
		return top, err
	}
	cg := p.Cgroup()
	if cg == nil {
		return top, nil
	}
	pids, err := cg.Pids()
	if err != nil {
		return top, err
	}
	top.Processes = proctable.Rows(pids)
	return top, nil
}
