package stats

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"berth/internal/linux"
)

// Full is all that is counted, as runc's events --stats shows it. Collecting
// it reads some ten files more than Stats.
type Full struct {
	Stats
	// PerCPUUser and PerCPUSystem divide CPU.PerCPU (cgroup v1 only).
	PerCPUUser, PerCPUSystem []uint64
	// Bursts is in how many periods more than the quota was used, BurstTime
	// for how many nanoseconds in all.
	Bursts, BurstTime uint64
	// CPUPressure, MemoryPressure and IOPressure are cgroup v2's, nil without.
	CPUPressure, MemoryPressure, IOPressure *Pressure
	// MemorySwap is memory and swap together, as version 1 counts. Kernel and
	// KernelTCP are version 1's.
	MemorySwap, Kernel, KernelTCP MemoryEntry
	CPUSet                        CPUSet
	// Hugetlb is by page size: 2MB.
	Hugetlb map[string]HugetlbEntry
	// RDMA are use and limits by device.
	RDMA, RDMALimits []RDMAEntry
	// Misc is by resource (cgroup v2).
	Misc map[string]MiscEntry
	// IOQueued and what follows are what BFQ counts in version 1 beside IOBytes and IOOps.
	IOQueued, IOServiceTime, IOWaitTime, IOMerged, IOTime, IOSectors []IOEntry
}

// Pressure is how long processes waited for a resource (pressure stall information).
type Pressure struct{ Some, Full PressureLine }

// PressureLine has shares of the last 10, 60 and 300 seconds in percent, and microseconds in all.
type PressureLine struct {
	Avg10, Avg60, Avg300 float64
	Total                uint64
}

// MemoryEntry counts one kind of memory in bytes. Limit may be Unlimited.
type MemoryEntry struct{ Usage, Peak, Failures, Limit uint64 }

// CPUSet is where processes may run. The flags are version 1's.
type CPUSet struct {
	CPUs, Mems                              []uint16
	CPUExclusive, MemExclusive, MemHardwall uint64
	MemoryMigrate, SpreadPage, SpreadSlab   uint64
	MemoryPressure, LoadBalance             uint64
	RelaxDomainLevel                        int64
}

// HugetlbEntry counts bytes of huge pages.
type HugetlbEntry struct{ Usage, Peak, Failures uint64 }

// RDMAEntry counts handles and objects of a device, or bounds them: MaxUint32 is no bound.
type RDMAEntry struct {
	Device           string
	Handles, Objects uint32
}

// MiscEntry is how much of a resource is in use, and how often its limit was met.
type MiscEntry struct{ Usage, Events uint64 }

// CollectAll reads all counters of a cgroup.
func CollectAll(g Group) (Full, error) {
	base, err := Collect(g)
	f := Full{Stats: base}
	if err != nil {
		return f, err
	}
	for _, part := range []func(*Full) error{g.cpuFull, g.memoryFull, g.ioFull, g.cpuset, g.hugetlb, g.rdma, g.misc} {
		if err := part(&f); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (g Group) cpuFull(f *Full) error {
	dir, version := g.Dir("cpu")
	if version == 0 && g.Pure != "" {
		dir, version = g.Pure, 2
	}
	r := reader{dir: dir}
	switch version {
	case 1:
		stat := r.flat("cpu.stat")
		f.Bursts, f.BurstTime = stat["nr_bursts"], stat["burst_time"]
	case 2:
		stat := r.flat("cpu.stat")
		f.Bursts, f.BurstTime = stat["nr_bursts"], stat["burst_usec"]*1000
		f.CPUPressure = r.pressure("cpu.pressure")
	}
	if acct, v := g.Dir("cpuacct"); v == 1 {
		r.dir = acct
		f.PerCPUUser, f.PerCPUSystem = parseUsageAll(r.text("cpuacct.usage_all"))
	}
	return r.err
}

// parseUsageAll reads lines "cpu user system" below a heading.
func parseUsageAll(data string) (user, system []uint64) {
	for line := range strings.Lines(data) {
		c := strings.Fields(line)
		if len(c) != 3 || c[0] == "cpu" {
			continue
		}
		u, uerr := strconv.ParseUint(c[1], 10, 64)
		s, serr := strconv.ParseUint(c[2], 10, 64)
		if uerr == nil && serr == nil {
			user, system = append(user, u), append(system, s)
		}
	}
	return user, system
}

func (g Group) memoryFull(f *Full) error {
	dir, version := g.Dir("memory")
	r := reader{dir: dir}
	switch version {
	case 1:
		entry := func(kind string) MemoryEntry {
			return MemoryEntry{
				Usage: r.number("memory." + kind + ".usage_in_bytes"), Peak: r.number("memory." + kind + ".max_usage_in_bytes"),
				Failures: r.number("memory." + kind + ".failcnt"), Limit: v1Limit(r.number("memory." + kind + ".limit_in_bytes")),
			}
		}
		f.MemorySwap, f.Kernel, f.KernelTCP = entry("memsw"), entry("kmem"), entry("kmem.tcp")
	case 2:
		m := f.Memory
		f.MemorySwap = MemoryEntry{Usage: m.Usage + m.Swap, Limit: Unlimited}
		if m.Limit != Unlimited && m.SwapLimit != Unlimited {
			f.MemorySwap.Limit = m.Limit + m.SwapLimit
		}
		f.MemoryPressure = r.pressure("memory.pressure")
	}
	return r.err
}

func (g Group) ioFull(f *Full) error {
	if dir, version := g.Dir("io"); version == 2 {
		r := reader{dir: dir}
		f.IOPressure = r.pressure("io.pressure")
		return r.err
	}
	dir, version := g.Dir("blkio")
	if version == 0 {
		return nil
	}
	r := reader{dir: dir}
	for _, list := range []struct {
		name string
		to   *[]IOEntry
	}{
		{"io_queued", &f.IOQueued},
		{"io_service_time", &f.IOServiceTime},
		{"io_wait_time", &f.IOWaitTime},
		{"io_merged", &f.IOMerged},
		{"time", &f.IOTime},
		{"sectors", &f.IOSectors},
	} {
		entries, err := parseBlkio(r.text("blkio.bfq." + list.name + "_recursive"))
		r.note(err)
		*list.to = entries
	}
	return r.err
}

func (g Group) cpuset(f *Full) error {
	dir, version := g.Dir("cpuset")
	r := reader{dir: dir}
	s := &f.CPUSet
	switch version {
	case 1:
		n := func(file string) uint64 { return r.number("cpuset." + file) }
		*s = CPUSet{
			CPUs: r.list("cpuset.cpus"), Mems: r.list("cpuset.mems"), CPUExclusive: n("cpu_exclusive"), MemExclusive: n("mem_exclusive"),
			MemHardwall: n("mem_hardwall"), MemoryMigrate: n("memory_migrate"), SpreadPage: n("memory_spread_page"), SpreadSlab: n("memory_spread_slab"),
			MemoryPressure: n("memory_pressure"), LoadBalance: n("sched_load_balance"),
		}
		if text := strings.TrimSpace(r.text("cpuset.sched_relax_domain_level")); text != "" {
			level, err := strconv.ParseInt(text, 10, 64)
			r.note(err)
			s.RelaxDomainLevel = level
		}
	case 2:
		s.CPUs, s.Mems = r.list("cpuset.cpus.effective"), r.list("cpuset.mems.effective")
	}
	return r.err
}

func (g Group) hugetlb(f *Full) error {
	dir, version := g.Dir("hugetlb")
	if version == 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	r := reader{dir: dir}
	r.note(err)
	f.Hugetlb = map[string]HugetlbEntry{}
	for _, e := range entries { // the files say which page sizes the kernel has
		rest, ok := strings.CutPrefix(e.Name(), "hugetlb.")
		size, file, cut := strings.Cut(rest, ".")
		if !ok || !cut || file != map[int]string{1: "limit_in_bytes", 2: "max"}[version] {
			continue
		}
		// What is reserved counts as used, where the kernel tells (5.7), as with runc.
		prefix := "hugetlb." + size + ".rsvd."
		has := func(name string) bool {
			return slices.ContainsFunc(entries, func(o os.DirEntry) bool { return o.Name() == name })
		}
		switch {
		case version == 2:
			if !has(prefix + "current") {
				prefix = "hugetlb." + size + "."
			}
			f.Hugetlb[size] = HugetlbEntry{Usage: r.number(prefix + "current"), Failures: r.flat("hugetlb." + size + ".events")["max"]}
		default:
			if !has(prefix + "usage_in_bytes") {
				prefix = "hugetlb." + size + "."
			}
			f.Hugetlb[size] = HugetlbEntry{r.number(prefix + "usage_in_bytes"), r.number(prefix + "max_usage_in_bytes"), r.number(prefix + "failcnt")}
		}
	}
	return r.err
}

func (g Group) rdma(f *Full) error {
	dir, version := g.Dir("rdma")
	if version == 0 {
		return nil
	}
	r := reader{dir: dir}
	var err error
	f.RDMA, err = parseRDMA(r.text("rdma.current"))
	r.note(err)
	f.RDMALimits, err = parseRDMA(r.text("rdma.max"))
	r.note(err)
	return r.err
}

// parseRDMA reads lines "device hca_handle=2 hca_object=max".
func parseRDMA(data string) (list []RDMAEntry, err error) {
	for line := range strings.Lines(data) {
		c := strings.Fields(line)
		if len(c) == 0 {
			continue
		}
		e := RDMAEntry{Device: c[0]}
		for _, pair := range c[1:] {
			key, value, _ := strings.Cut(pair, "=")
			n := uint64(math.MaxUint32)
			if value != "max" {
				if n, err = strconv.ParseUint(value, 10, 32); err != nil {
					return nil, err
				}
			}
			switch key {
			case "hca_handle":
				e.Handles = uint32(n)
			case "hca_object":
				e.Objects = uint32(n)
			}
		}
		list = append(list, e)
	}
	return list, nil
}

func (g Group) misc(f *Full) error {
	dir, version := g.Dir("misc")
	if version != 2 {
		return nil
	}
	r := reader{dir: dir}
	events := r.flat("misc.events") // lines "name.max number"
	for name, n := range r.flat("misc.current") {
		if f.Misc == nil {
			f.Misc = map[string]MiscEntry{}
		}
		f.Misc[name] = MiscEntry{Usage: n, Events: events[name+".max"]}
	}
	return r.err
}

// pressure reads a file of pressure stall information; nil where the kernel keeps none.
func (r *reader) pressure(file string) *Pressure {
	data, err := linux.ReadControl(r.dir + "/" + file)
	if err != nil { // missing, or off (psi=0, cgroup.pressure), which is EOPNOTSUPP
		r.note(err)
		return nil
	}
	p, err := parsePressure(data)
	if err != nil {
		r.note(fmt.Errorf("%s/%s: %w", r.dir, file, err))
		return nil
	}
	return &p
}

// parsePressure reads lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
func parsePressure(data string) (p Pressure, err error) {
	for line := range strings.Lines(data) {
		c := strings.Fields(line)
		if len(c) == 0 {
			continue
		}
		to := map[string]*PressureLine{"some": &p.Some, "full": &p.Full}[c[0]]
		if to == nil {
			continue
		}
		for _, pair := range c[1:] {
			key, value, _ := strings.Cut(pair, "=")
			if key == "total" {
				to.Total, err = strconv.ParseUint(value, 10, 64)
			} else if avg := map[string]*float64{"avg10": &to.Avg10, "avg60": &to.Avg60, "avg300": &to.Avg300}[key]; avg != nil {
				*avg, err = strconv.ParseFloat(value, 64)
			}
			if err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// list reads a list of numbers such as 0-2,7.
func (r *reader) list(file string) []uint16 {
	list, err := parseList(strings.TrimSpace(r.text(file)))
	if err != nil {
		r.note(fmt.Errorf("%s/%s: %w", r.dir, file, err))
	}
	return list
}

func parseList(text string) (list []uint16, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return nil, err
		}
		to, err := strconv.ParseUint(last, 10, 16)
		if err != nil {
			return nil, err
		}
		if from > to || len(list) > math.MaxUint16 {
			return nil, fmt.Errorf("%q is not a list of numbers", text)
		}
		for n := from; n <= to; n++ {
			list = append(list, uint16(n))
		}
	}
	return list, nil
}
