package limits

import (
	"math"

	"berth/ociruntime/cgroups"
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
		Total  uint64   `json:"total,omitempty"`
		Percpu []uint64 `json:"percpu,omitempty"`
		Kernel uint64   `json:"kernel"`
		User   uint64   `json:"user"`
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

func documentOf(s cgroups.Stats, f files) stats {
	var d stats
	d.CPU.Usage.Total, d.CPU.Usage.Percpu = s.CPU.Usage, s.CPU.PerCPU
	d.CPU.Usage.Kernel, d.CPU.Usage.User = s.CPU.System, s.CPU.User
	d.CPU.Throttling.Periods, d.CPU.Throttling.ThrottledPeriods = s.CPU.Periods, s.CPU.Throttled
	d.CPU.Throttling.ThrottledTime = s.CPU.ThrottledTime
	d.CPUSet = f.cpuSet()
	d.Memory = f.memory(s.Memory)
	d.Pids.Current = s.Pids.Current
	if s.Pids.Limit != cgroups.Unlimited {
		d.Pids.Limit = s.Pids.Limit
	}
	d.Blkio.IoServiceBytesRecursive, d.Blkio.IoServicedRecursive = blkioEntries(s.IOBytes), blkioEntries(s.IOOps)
	d.Hugetlb = f.hugetlb()
	for _, p := range []struct {
		controller, file string
		into             **psiStats
	}{{"cpu", "cpu.pressure", &d.CPU.PSI}, {"memory", "memory.pressure", &d.Memory.PSI}, {"io", "io.pressure", &d.Blkio.PSI}} {
		if dir, version := f.dir(p.controller); version == 2 {
			*p.into = pressure(dir + "/" + p.file)
		}
	}
	return d
}

func blkioEntries(from []cgroups.IOEntry) []blkioEntry {
	var out []blkioEntry
	for _, e := range from {
		out = append(out, blkioEntry(e))
	}
	return out
}

func (f files) cpuSet() (s cpuSet) {
	dir, version := f.dir("cpuset")
	switch version {
	case 1:
		n := func(file string) uint64 { return number(dir + "/cpuset." + file) }
		s = cpuSet{
			CPUs: numbers(dir + "/cpuset.cpus"), Mems: numbers(dir + "/cpuset.mems"),
			CPUExclusive: n("cpu_exclusive"), MemHardwall: n("mem_hardwall"), MemExclusive: n("mem_exclusive"),
			MemoryMigrate: n("memory_migrate"), MemorySpreadPage: n("memory_spread_page"), MemorySpreadSlab: n("memory_spread_slab"),
			MemoryPressure: n("memory_pressure"), SchedLoadBalance: n("sched_load_balance"),
		}
		s.SchedRelaxDomainLevel = -1 // the kernel's default
		if t := text(dir + "/cpuset.sched_relax_domain_level"); t != "" && t[0] != '-' {
			s.SchedRelaxDomainLevel = int64(n("sched_relax_domain_level"))
		}
	case 2:
		s.CPUs, s.Mems = numbers(dir+"/cpuset.cpus.effective"), numbers(dir+"/cpuset.mems.effective")
	}
	return s
}

func (f files) memory(s cgroups.MemoryStats) memory {
	m := memory{Cache: s.Cache, Raw: s.Detail}
	m.Usage = memoryEntry{Limit: s.Limit, Usage: s.Usage, Max: s.Peak, Failcnt: s.Failures}
	dir, version := f.dir("memory")
	switch version {
	case 1:
		entry := func(name string) memoryEntry {
			p := dir + "/memory." + name
			return memoryEntry{number(p + "limit_in_bytes"), number(p + "usage_in_bytes"), number(p + "max_usage_in_bytes"), number(p + "failcnt")}
		}
		m.Swap, m.Kernel, m.KernelTCP = entry("memsw."), entry("kmem."), entry("kmem.tcp.")
	case 2: // as version 1 counts: memory and swap together
		m.Swap = memoryEntry{Limit: sum(s.Limit, s.SwapLimit), Usage: sum(s.Usage, s.Swap)}
	}
	return m
}

// sum adds up limits, of which one may be that there is none.
func sum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func (f files) hugetlb() map[string]hugetlb {
	all := map[string]hugetlb{}
	dir, version := f.dir("hugetlb")
	if version == 0 {
		return all
	}
	for _, size := range hugePages() {
		p := dir + "/hugetlb." + size + "."
		h := hugetlb{Usage: number(p + "current"), Failcnt: flat(p+"events", "max")}
		if version == 1 {
			h = hugetlb{number(p + "usage_in_bytes"), number(p + "max_usage_in_bytes"), number(p + "failcnt")}
		}
		all[size] = h
	}
	return all
}
