package limits

import (
	"berth/ociruntime/cgroups"
	cgroupstats "berth/ociruntime/cgroups/stats"
)

// The types below are the document of an event of type stats, as runc writes it.

type stats struct {
	CPU               cpu                `json:"cpu"`
	CPUSet            cpuSet             `json:"cpuset"`
	Memory            memory             `json:"memory"`
	Pids              pids               `json:"pids"`
	Blkio             blkio              `json:"blkio"`
	Hugetlb           map[string]hugetlb `json:"hugetlb"`
	IntelRdt          struct{}           `json:"intel_rdt"`
	NetworkInterfaces []struct{}         `json:"network_interfaces"`
}

type cpu struct {
	Usage struct {
		Total        uint64   `json:"total,omitempty"`
		Percpu       []uint64 `json:"percpu,omitempty"`
		PercpuKernel []uint64 `json:"percpu_kernel,omitempty"`
		PercpuUser   []uint64 `json:"percpu_user,omitempty"`
		Kernel       uint64   `json:"kernel"`
		User         uint64   `json:"user"`
	} `json:"usage"`
	Throttling struct {
		Periods          uint64 `json:"periods,omitempty"`
		ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
		ThrottledTime    uint64 `json:"throttledTime,omitempty"`
	} `json:"throttling"`
	PSI *psiStats `json:"psi,omitempty"`
}

type cpuSet struct {
	CPUs                  []uint16 `json:"cpus,omitempty"`
	CPUExclusive          uint64   `json:"cpu_exclusive"`
	Mems                  []uint16 `json:"mems,omitempty"`
	MemHardwall           uint64   `json:"mem_hardwall"`
	MemExclusive          uint64   `json:"mem_exclusive"`
	MemoryMigrate         uint64   `json:"memory_migrate"`
	MemorySpreadPage      uint64   `json:"memory_spread_page"`
	MemorySpreadSlab      uint64   `json:"memory_spread_slab"`
	MemoryPressure        uint64   `json:"memory_pressure"`
	SchedLoadBalance      uint64   `json:"sched_load_balance"`
	SchedRelaxDomainLevel int64    `json:"sched_relax_domain_level"`
}

type memoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type memory struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     memoryEntry       `json:"usage"`
	Swap      memoryEntry       `json:"swap"`
	Kernel    memoryEntry       `json:"kernel"`
	KernelTCP memoryEntry       `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"`
	PSI       *psiStats         `json:"psi,omitempty"`
}

type pids struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

type blkioEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

type blkio struct {
	IoServiceBytesRecursive []blkioEntry `json:"ioServiceBytesRecursive,omitempty"`
	IoServicedRecursive     []blkioEntry `json:"ioServicedRecursive,omitempty"`
	IoQueuedRecursive       []blkioEntry `json:"ioQueueRecursive,omitempty"`
	IoServiceTimeRecursive  []blkioEntry `json:"ioServiceTimeRecursive,omitempty"`
	IoWaitTimeRecursive     []blkioEntry `json:"ioWaitTimeRecursive,omitempty"`
	IoMergedRecursive       []blkioEntry `json:"ioMergedRecursive,omitempty"`
	IoTimeRecursive         []blkioEntry `json:"ioTimeRecursive,omitempty"`
	SectorsRecursive        []blkioEntry `json:"sectorsRecursive,omitempty"`
	PSI                     *psiStats    `json:"psi,omitempty"`
}

type hugetlb struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

type psiStats struct {
	Some psiData `json:"some"`
	Full psiData `json:"full"`
}

type psiData struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"`
}

func documentOf(s cgroupstats.Full) stats {
	var d stats
	d.CPU.Usage.Total, d.CPU.Usage.Percpu = s.CPU.Usage, s.CPU.PerCPU
	d.CPU.Usage.PercpuKernel, d.CPU.Usage.PercpuUser = s.PerCPUSystem, s.PerCPUUser
	d.CPU.Usage.Kernel, d.CPU.Usage.User = s.CPU.System, s.CPU.User
	d.CPU.Throttling.Periods, d.CPU.Throttling.ThrottledPeriods = s.CPU.Periods, s.CPU.Throttled
	d.CPU.Throttling.ThrottledTime = s.CPU.ThrottledTime
	c := s.CPUSet
	d.CPUSet = cpuSet{
		CPUs: c.CPUs, Mems: c.Mems, CPUExclusive: c.CPUExclusive, MemHardwall: c.MemHardwall, MemExclusive: c.MemExclusive,
		MemoryMigrate: c.MemoryMigrate, MemorySpreadPage: c.SpreadPage, MemorySpreadSlab: c.SpreadSlab,
		MemoryPressure: c.MemoryPressure, SchedLoadBalance: c.LoadBalance, SchedRelaxDomainLevel: c.RelaxDomainLevel,
	}
	d.Memory = memory{
		Cache: s.Memory.Cache, Raw: s.Memory.Detail, PSI: psi(s.MemoryPressure),
		Usage: memoryEntry{Limit: s.Memory.Limit, Usage: s.Memory.Usage, Max: s.Memory.Peak, Failcnt: s.Memory.Failures},
		Swap:  entry(s.MemorySwap), Kernel: entry(s.Kernel), KernelTCP: entry(s.KernelTCP),
	}
	d.Pids.Current = s.Pids.Current
	if s.Pids.Limit != cgroups.Unlimited {
		d.Pids.Limit = s.Pids.Limit
	}
	d.Blkio = blkio{
		IoServiceBytesRecursive: blkioEntries(s.IOBytes), IoServicedRecursive: blkioEntries(s.IOOps), IoQueuedRecursive: blkioEntries(s.IOQueued),
		IoServiceTimeRecursive: blkioEntries(s.IOServiceTime), IoWaitTimeRecursive: blkioEntries(s.IOWaitTime), IoMergedRecursive: blkioEntries(s.IOMerged),
		IoTimeRecursive: blkioEntries(s.IOTime), SectorsRecursive: blkioEntries(s.IOSectors), PSI: psi(s.IOPressure),
	}
	d.CPU.PSI = psi(s.CPUPressure)
	d.Hugetlb = map[string]hugetlb{}
	for size, h := range s.Hugetlb {
		d.Hugetlb[size] = hugetlb{Usage: h.Usage, Max: h.Peak, Failcnt: h.Failures}
	}
	return d
}

func entry(e cgroupstats.MemoryEntry) memoryEntry {
	return memoryEntry{Limit: e.Limit, Usage: e.Usage, Max: e.Peak, Failcnt: e.Failures}
}

func psi(p *cgroupstats.Pressure) *psiStats {
	if p == nil {
		return nil
	}
	return &psiStats{Some: psiData(p.Some), Full: psiData(p.Full)}
}

func blkioEntries(from []cgroups.IOEntry) []blkioEntry {
	var out []blkioEntry
	for _, e := range from {
		out = append(out, blkioEntry(e))
	}
	return out
}
