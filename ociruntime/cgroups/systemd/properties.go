package systemd

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"berth/ociruntime/cgroups/limit"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Features are what a systemd can do that is younger than version 244.
type Features struct {
	// Idle: CPUWeight=0 is "idle" (252). OOMPolicy: scopes have it (253).
	Idle, OOMPolicy bool
}

// FeaturesOf are those of a version.
func FeaturesOf(version int) Features {
	return Features{Idle: version >= 252, OOMPolicy: version >= 253}
}

// NeedsFeatures tells whether the limits have something that depends on the version.
func NeedsFeatures(r *specs.LinuxResources) bool {
	if r == nil {
		return false
	}
	_, oom := r.Unified["memory.oom.group"]
	_, idle := r.Unified["cpu.idle"]
	return oom || idle || r.CPU != nil && r.CPU.Idle != nil
}

// defaultPeriod is the kernel's CPU period in microseconds.
const defaultPeriod = 100000

// RoundQuota makes the CPU quota of the limits one that systemd can say: it
// knows whole percents of a CPU, and writes its value into the same file. It changes r.
func RoundQuota(r *specs.LinuxResources) {
	if r == nil || r.CPU == nil || r.CPU.Quota == nil || *r.CPU.Quota <= 0 {
		return
	}
	cpu := *r.CPU
	period := uint64(defaultPeriod)
	if limit.IsSet(cpu.Period) {
		period = *cpu.Period
	}
	quota := int64(perSecond(*cpu.Quota, period) * period / 1000000)
	cpu.Quota = &quota
	r.CPU = &cpu
}

// perSecond is a quota in microseconds of a CPU's second, in steps of a percent.
func perSecond(quota int64, period uint64) uint64 {
	const percent = 10000
	n := uint64(quota) * 1000000 / period
	return (n + percent - 1) / percent * percent
}

// Accounting are the properties that every unit of a container has.
func Accounting(h limit.Host) []Property {
	io := Property{"IOAccounting", true}
	if h("blkio") == 1 {
		io.Name = "BlockIOAccounting"
	}
	return []Property{
		{"MemoryAccounting", true}, {"CPUAccounting", true}, io, {"TasksAccounting", true}, {"DefaultDependencies", false},
	}
}

// Properties says the limits in systemd's words, as far as it has some. All of
// them are written to the cgroup's files too; these are for systemd to write the same
// when it writes to them again. fresh: the unit is about to be made.
func Properties(h limit.Host, f Features, r *specs.LinuxResources, fresh bool) ([]Property, error) {
	if r == nil {
		return nil, nil
	}
	p := properties{host: h, features: f}
	p.memory(r.Memory)
	p.cpu(r.CPU)
	if r.Pids != nil && r.Pids.Limit != nil {
		p.add("TasksMax", tasks(*r.Pids.Limit))
	}
	if h("blkio") == 1 && r.BlockIO != nil && limit.IsSet(r.BlockIO.Weight) {
		p.add("BlockIOWeight", uint64(*r.BlockIO.Weight))
	}
	p.unified(r.Unified, fresh)
	if p.err != nil {
		return nil, p.err
	}
	return p.list, nil
}

type properties struct {
	host     limit.Host
	features Features
	list     []Property
	err      error
}

// add sets a property; the last value counts.
func (p *properties) add(name string, value any) {
	p.list = append(slices.DeleteFunc(p.list, func(q Property) bool { return q.Name == name }), Property{name, value})
}

// size is a limit of systemd, where infinity is the highest number.
func size(n int64) uint64 { return uint64(n) } // -1 is all ones

func tasks(n int64) uint64 {
	switch {
	case n < 0:
		return math.MaxUint64
	case n == 0:
		return 1 // systemd takes no 0
	}
	return uint64(n)
}

func (p *properties) memory(m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	if p.host("memory") == 1 {
		if limit.IsSet(m.Limit) {
			p.add("MemoryLimit", size(*m.Limit))
		}
		return
	}
	if limit.IsSet(m.Limit) {
		p.add("MemoryMax", size(*m.Limit))
	}
	if limit.IsSet(m.Reservation) {
		p.add("MemoryLow", size(*m.Reservation))
	}
	if swap, set, err := limit.SwapMax(m); err != nil {
		p.err = err
	} else if set {
		p.add("MemorySwapMax", size(swap))
	}
}

func (p *properties) cpu(c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	idle := c.Idle != nil && *c.Idle == 1 && p.features.Idle && p.host("cpu") == 2
	switch {
	case idle:
		p.add("CPUWeight", uint64(0))
	case !limit.IsSet(c.Shares):
	case p.host("cpu") == 1:
		p.add("CPUShares", *c.Shares)
	default:
		p.add("CPUWeight", limit.CPUWeight(*c.Shares))
	}
	var quota int64
	var period uint64
	if c.Quota != nil {
		quota = *c.Quota
	}
	if c.Period != nil {
		period = *c.Period
	}
	p.quota(quota, period)
	p.set("AllowedCPUs", "--cpuset-cpus", c.Cpus)
	p.set("AllowedMemoryNodes", "--cpuset-mems", c.Mems)
}

// quota adds a limit of CPU time; 0 is what is not given.
func (p *properties) quota(quota int64, period uint64) {
	if quota == 0 && period == 0 {
		return
	}
	n := uint64(math.MaxUint64)
	if period != 0 {
		p.add("CPUQuotaPeriodUSec", period)
	} else {
		period = defaultPeriod
	}
	if quota > 0 {
		n = perSecond(quota, period)
	}
	p.add("CPUQuotaPerSecUSec", n)
}

// set adds a set of CPUs or memory nodes, as a mask of bits.
func (p *properties) set(name, flag, list string) {
	if list == "" {
		return
	}
	mask, err := bits(list)
	if err != nil {
		p.err = limit.Invalid(flag, list, err.Error())
		return
	}
	p.add(name, mask)
}

// maxCPU is more than a kernel can have (NR_CPUS).
const maxCPU = 1 << 16

// bits turns "0-2,7" into a mask, the lowest byte first.
func bits(list string) ([]byte, error) {
	var mask []byte
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("it must be a list of numbers and ranges such as 0-2,4")
		}
		to, err := strconv.ParseUint(last, 10, 16)
		if err != nil || to < from || to >= maxCPU {
			return nil, fmt.Errorf("it must be a list of numbers and ranges such as 0-2,4")
		}
		for n := from; n <= to; n++ {
			for int(n/8) >= len(mask) {
				mask = append(mask, 0)
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return mask, nil
}

// memoryFiles are version 2's files that hold a number of bytes.
var memoryFiles = map[string]string{
	"memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin",
	"memory.max": "MemoryMax", "memory.swap.max": "MemorySwapMax",
}

// unified adds what is given by the name of its file, as far as systemd knows it.
func (p *properties) unified(files map[string]string, fresh bool) {
	value := func(file string) (string, bool) {
		v, ok := files[file]
		return strings.TrimSpace(v), ok
	}
	number := func(file, property string) {
		v, ok := value(file)
		if !ok {
			return
		}
		n, err := uint64(math.MaxUint64), error(nil)
		if v != "max" {
			n, err = strconv.ParseUint(v, 10, 64)
		}
		if err != nil {
			p.err = limit.Invalid("unified."+file, v, "it must be a number, or max")
			return
		}
		if file == "pids.max" && n == 0 {
			n = 1
		}
		p.add(property, n)
	}
	for file, property := range memoryFiles {
		number(file, property)
	}
	number("pids.max", "TasksMax")
	number("cpu.weight", "CPUWeight")
	if v, ok := value("cpu.idle"); ok && v == "1" && p.features.Idle {
		p.add("CPUWeight", uint64(0))
	}
	if v, ok := value("cpu.max"); ok {
		p.cpuMax(v)
	}
	if v, ok := value("cpuset.cpus"); ok {
		p.set("AllowedCPUs", "unified.cpuset.cpus", v)
	}
	if v, ok := value("cpuset.mems"); ok {
		p.set("AllowedMemoryNodes", "unified.cpuset.mems", v)
	}
	if v, ok := value("memory.oom.group"); ok && fresh && p.features.OOMPolicy { // it cannot be changed later
		policy := map[string]string{"0": "continue", "1": "kill"}[v]
		if policy != "" {
			p.add("OOMPolicy", policy)
		}
	}
}

// cpuMax reads "QUOTA [PERIOD]".
func (p *properties) cpuMax(v string) {
	f := strings.Fields(v)
	bad := len(f) < 1 || len(f) > 2
	var quota int64
	period := uint64(defaultPeriod)
	var err error
	if !bad && f[0] != "max" {
		quota, err = strconv.ParseInt(f[0], 10, 64)
		bad = err != nil || quota <= 0
	}
	if !bad && len(f) == 2 {
		period, err = strconv.ParseUint(f[1], 10, 64)
		bad = err != nil || period == 0
	}
	if bad {
		p.err = limit.Invalid("unified.cpu.max", v, "it must be a quota and a period, such as 50000 100000")
		return
	}
	p.quota(quota, period)
}
