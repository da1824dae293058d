package stats

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/internal/linux"
)

// Unlimited is the value of a limit that is not set.
const Unlimited = math.MaxUint64

// Stats is what the kernel has counted for a cgroup and those below it. What
// the host does not count is zero.
type Stats struct {
	// Read is when the counters were read.
	Read   time.Time
	CPU    CPUStats
	Memory MemoryStats
	Pids   PidsStats
	// IOBytes and IOOps count bytes and operations of block devices.
	IOBytes, IOOps []IOEntry
}

// CPUStats are times in nanoseconds since the cgroup was made.
type CPUStats struct {
	Usage, User, System uint64
	// PerCPU is Usage by CPU (cgroup v1 only).
	PerCPU []uint64
	// Periods is how many enforcement periods passed, Throttled in how many
	// the quota ran out, ThrottledTime for how long in all.
	Periods, Throttled, ThrottledTime uint64
}

// MemoryStats are bytes where nothing else is said.
type MemoryStats struct {
	// Usage includes the page cache; Peak is its highest value; Limit may be Unlimited.
	Usage, Peak, Limit uint64
	// Cache is the part of Usage that is file pages and InactiveFile the part
	// that can go at once: docker shows Usage less InactiveFile.
	Cache, InactiveFile uint64
	// Swap is the swap space in use, SwapLimit its bound (version 1: of memory
	// and swap together), or Unlimited.
	Swap, SwapLimit uint64
	// Failures is how often the limit was met, OOMKills how many processes
	// were killed for it.
	Failures, OOMKills uint64
	// Detail is the kernel's memory.stat as it is.
	Detail map[string]uint64
}

// PidsStats count processes and threads. Limit may be Unlimited.
type PidsStats struct{ Current, Limit uint64 }

// IOEntry is one counter of a block device.
type IOEntry struct {
	Major, Minor uint64
	// Op is "Read", "Write", "Discard", and in version 1 also "Sync", "Async" and "Total".
	Op    string
	Value uint64
}

// Group finds a cgroup's directory in the hierarchy of a controller, and the
// hierarchy's version, 1 or 2; 0 if no hierarchy has it.
type Group struct {
	Dir func(controller string) (dir string, version int)
	// Pure is the directory where version 2 is the only hierarchy, else "":
	// it counts times without the cpu controller.
	Pure string
}

// Collect reads the counters of a cgroup.
func Collect(g Group) (Stats, error) {
	s := Stats{Read: time.Now()}
	for _, part := range []func(*Stats) error{g.cpu, g.memory, g.pids, g.io} {
		if err := part(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// MemoryUsage reads how much memory is in use.
func MemoryUsage(g Group) (uint64, error) {
	dir, version := g.Dir("memory")
	r := reader{dir: dir}
	switch version {
	case 1:
		return r.number("memory.usage_in_bytes"), r.err
	case 2:
		return r.number("memory.current"), r.err
	}
	return 0, nil
}

// reader reads several files of one directory and keeps the first error. A
// file that the kernel does not have, or whose controller is not enabled,
// reads as zero.
type reader struct {
	dir string
	err error
}

func (r *reader) note(err error) {
	if err != nil && r.err == nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENODEV) {
		r.err = err
	}
}

func (r *reader) text(file string) string {
	data, err := linux.ReadControl(r.dir + "/" + file)
	r.note(err)
	return data
}

func (r *reader) number(file string) uint64 {
	n, err := Number(r.dir + "/" + file)
	r.note(err)
	return n
}

func (r *reader) flat(file string) map[string]uint64 {
	m, err := parseFlat(r.text(file))
	if err != nil {
		r.note(fmt.Errorf("%s/%s: %w", r.dir, file, err))
	}
	return m
}

func (g Group) cpu(s *Stats) error {
	dir, version := g.Dir("cpu")
	if version == 0 && g.Pure != "" {
		dir, version = g.Pure, 2
	}
	r := reader{dir: dir}
	switch version {
	case 1:
		stat := r.flat("cpu.stat")
		s.CPU.Periods, s.CPU.Throttled, s.CPU.ThrottledTime = stat["nr_periods"], stat["nr_throttled"], stat["throttled_time"]
	case 2:
		const us = 1000
		stat := r.flat("cpu.stat")
		s.CPU = CPUStats{
			Usage: stat["usage_usec"] * us, User: stat["user_usec"] * us, System: stat["system_usec"] * us,
			Periods: stat["nr_periods"], Throttled: stat["nr_throttled"], ThrottledTime: stat["throttled_usec"] * us,
		}
	}
	acct, version := g.Dir("cpuacct")
	if version != 1 {
		return r.err
	}
	r.dir = acct
	s.CPU.Usage = r.number("cpuacct.usage")
	s.CPU.User, s.CPU.System = r.number("cpuacct.usage_user"), r.number("cpuacct.usage_sys")
	for _, f := range strings.Fields(r.text("cpuacct.usage_percpu")) {
		n, err := parseNumber(f)
		r.note(err)
		s.CPU.PerCPU = append(s.CPU.PerCPU, n)
	}
	return r.err
}

// v1Unlimited is above what version 1 shows as "no limit": the greatest
// multiple of the page size, which differs by architecture.
const v1Unlimited = 1 << 62

func (g Group) memory(s *Stats) error {
	dir, version := g.Dir("memory")
	r := reader{dir: dir}
	m := &s.Memory
	switch version {
	case 1:
		m.Usage, m.Peak, m.Limit = r.number("memory.usage_in_bytes"), r.number("memory.max_usage_in_bytes"), v1Limit(r.number("memory.limit_in_bytes"))
		m.Failures = r.number("memory.failcnt")
		m.OOMKills = r.flat("memory.oom_control")["oom_kill"]
		m.Detail = r.flat("memory.stat")
		m.Cache, m.InactiveFile = m.Detail["total_cache"], m.Detail["total_inactive_file"]
		m.Swap, m.SwapLimit = m.Detail["total_swap"], v1Limit(r.number("memory.memsw.limit_in_bytes"))
	case 2:
		m.Usage, m.Peak, m.Limit = r.number("memory.current"), r.number("memory.peak"), r.number("memory.max")
		events := r.flat("memory.events")
		m.Failures, m.OOMKills = events["max"], events["oom_kill"]
		m.Detail = r.flat("memory.stat")
		m.Cache, m.InactiveFile = m.Detail["file"], m.Detail["inactive_file"]
		m.Swap, m.SwapLimit = r.number("memory.swap.current"), r.number("memory.swap.max")
	}
	return r.err
}

func v1Limit(n uint64) uint64 {
	if n >= v1Unlimited {
		return Unlimited
	}
	return n
}

func (g Group) pids(s *Stats) error {
	dir, version := g.Dir("pids")
	if version == 0 {
		return nil
	}
	r := reader{dir: dir}
	s.Pids = PidsStats{Current: r.number("pids.current"), Limit: r.number("pids.max")}
	return r.err
}

func (g Group) io(s *Stats) error {
	if dir, version := g.Dir("io"); version == 2 {
		r := reader{dir: dir}
		var err error
		s.IOBytes, s.IOOps, err = parseIOStat(r.text("io.stat"))
		r.note(err)
		return r.err
	}
	dir, version := g.Dir("blkio")
	if version == 0 {
		return nil
	}
	r := reader{dir: dir}
	read := func(what string) []IOEntry {
		// BFQ counts for the devices that it schedules, throttling for all.
		for _, prefix := range []string{"blkio.throttle.", "blkio.bfq."} {
			entries, err := parseBlkio(r.text(prefix + what + "_recursive"))
			r.note(err)
			if len(entries) > 0 {
				return entries
			}
		}
		return nil
	}
	s.IOBytes, s.IOOps = read("io_service_bytes"), read("io_serviced")
	return r.err
}

// parseBlkio reads version 1's lines "major:minor Op number"; the last line,
// "Total number", sums up all devices and is left out.
func parseBlkio(data string) ([]IOEntry, error) {
	var out []IOEntry
	for line := range strings.Lines(data) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] == "Total" {
			continue
		}
		major, minor, err := parseDevice(f[0])
		if err != nil {
			return nil, err
		}
		op := "" // some count by device alone
		if len(f) > 2 {
			op = f[1]
		}
		n, err := parseNumber(f[len(f)-1])
		if err != nil {
			return nil, err
		}
		out = append(out, IOEntry{Major: major, Minor: minor, Op: op, Value: n})
	}
	return out, nil
}

// ioKeys are the keys of io.stat that have a place in IOEntry.
var ioKeys = map[string]struct {
	op  string
	ops bool
}{
	"rbytes": {"Read", false}, "wbytes": {"Write", false}, "dbytes": {"Discard", false},
	"rios": {"Read", true}, "wios": {"Write", true}, "dios": {"Discard", true},
}

// parseIOStat reads version 2's lines "major:minor key=number ...". A device
// that has counted nothing may have no keys, or the kernel may give no number.
func parseIOStat(data string) (bytes, ops []IOEntry, err error) {
	for line := range strings.Lines(data) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		major, minor, err := parseDevice(f[0])
		if err != nil {
			return nil, nil, err
		}
		for _, pair := range f[1:] {
			key, value, _ := strings.Cut(pair, "=")
			k, known := ioKeys[key]
			if !known {
				continue
			}
			n, err := parseNumber(value)
			if err != nil {
				return nil, nil, err
			}
			e := IOEntry{Major: major, Minor: minor, Op: k.op, Value: n}
			if k.ops {
				ops = append(ops, e)
			} else {
				bytes = append(bytes, e)
			}
		}
	}
	return bytes, ops, nil
}

func parseDevice(s string) (major, minor uint64, err error) {
	a, b, ok := strings.Cut(s, ":")
	if !ok {
		return 0, 0, fmt.Errorf("%q is not a device number", s)
	}
	if major, err = strconv.ParseUint(a, 10, 32); err != nil {
		return 0, 0, err
	}
	minor, err = strconv.ParseUint(b, 10, 32)
	return major, minor, err
}
