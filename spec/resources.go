package spec

import (
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Resources checks limits against the machine and translates them. The runtime
// applies each or says why it cannot: none is left out. The device rules are
// not among them.
func Resources(r container.Resources, host Host) (*specs.LinuxResources, error) {
	out := &specs.LinuxResources{}
	var err error
	if out.Memory, err = memoryOf(r, host); err != nil {
		return nil, err
	}
	if out.CPU, err = cpuOf(r, host); err != nil {
		return nil, err
	}
	if out.Pids, err = pidsOf(r.PidsLimit); err != nil {
		return nil, err
	}
	if out.BlockIO, err = blockIOOf(r, host); err != nil {
		return nil, err
	}
	if host.Rootless && (r.PidsLimit == nil || *r.PidsLimit == 0 || *r.PidsLimit == -1) {
		out.Pids = nil // no limit, or the default one, which is not asked for
	}
	if host.Rootless && (out.Memory != nil || out.CPU != nil || out.Pids != nil || out.BlockIO != nil) {
		return nil, invalid("limits are not available to ordinary users, whose containers have no cgroups: leave out the options for memory, processors, processes and block devices, or run berth as root")
	}
	return out, nil
}

func (b *builder) setResources() error {
	r, err := Resources(b.HostConfig.Resources, b.Host)
	if err != nil {
		return err
	}
	r.Devices = b.spec.Linux.Resources.Devices
	b.spec.Linux.Resources = r
	return nil
}

// minMemory is Docker's minimum: with less a container can hardly start.
const minMemory = 6 << 20

func memoryOf(r container.Resources, host Host) (*specs.LinuxMemory, error) {
	switch {
	case r.Memory < 0:
		return nil, invalid("invalid memory size %d: --memory takes bytes or a number with b, k, m or g, as in 512m", r.Memory)
	case r.Memory > 0 && r.Memory < minMemory:
		return nil, invalid("--memory %d is below the minimum of 6 MB: give at least 6m", r.Memory)
	case r.MemorySwap < -1:
		return nil, invalid("--memory-swap %d: it is memory and swap together in bytes, or -1 for no limit", r.MemorySwap)
	case r.MemorySwap > 0 && r.Memory == 0:
		return nil, invalid("--memory-swap needs --memory: it is the limit of both together")
	case r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return nil, invalid("--memory-swap %d is below --memory %d: it is the limit of both together", r.MemorySwap, r.Memory)
	case r.MemorySwap > 0 && !host.SwapLimit:
		return nil, invalid("--memory-swap: this kernel does not limit swap; boot it with swapaccount=1 or leave the option out")
	case r.MemoryReservation < 0:
		return nil, invalid("--memory-reservation %d is negative", r.MemoryReservation)
	case r.MemoryReservation > 0 && r.MemoryReservation < minMemory:
		return nil, invalid("--memory-reservation %d is below the minimum of 6 MB: give at least 6m", r.MemoryReservation)
	case r.Memory > 0 && r.MemoryReservation > r.Memory:
		return nil, invalid("--memory-reservation %d is above --memory %d: it is the lower of the two", r.MemoryReservation, r.Memory)
	}
	m := &specs.LinuxMemory{}
	if r.Memory > 0 {
		m.Limit = &r.Memory
		swap := r.MemorySwap
		if swap == 0 && host.SwapLimit { // as much swap as memory, as in Docker
			swap = 2 * r.Memory
		}
		if swap != 0 && host.SwapLimit {
			m.Swap = &swap
		}
	}
	if r.MemoryReservation > 0 {
		m.Reservation = &r.MemoryReservation
	}
	if s := r.MemorySwappiness; s != nil && *s != -1 {
		if *s < 0 || *s > 100 {
			return nil, invalid("--memory-swappiness %d is not between 0 and 100", *s)
		}
		if host.CgroupV2 {
			return nil, invalid("--memory-swappiness is not available with cgroup v2: leave it out")
		}
		v := uint64(*s)
		m.Swappiness = &v
	}
	if r.OomKillDisable != nil && *r.OomKillDisable {
		if host.CgroupV2 {
			return nil, invalid("--oom-kill-disable is not available with cgroup v2: leave it out")
		}
		m.DisableOOMKiller = r.OomKillDisable
	}
	if *m == (specs.LinuxMemory{}) {
		return nil, nil
	}
	return m, nil
}

const (
	minShares, maxShares = 2, 262144       // kernel/sched/sched.h
	minPeriod, maxPeriod = 1000, 1_000_000 // microseconds
	minQuota             = 1000
	nano                 = 1_000_000_000
)

func cpuOf(r container.Resources, host Host) (*specs.LinuxCPU, error) {
	switch {
	case r.NanoCPUs < 0 || r.NanoCPUs > 0 && r.NanoCPUs < nano/100,
		r.NanoCPUs > 0 && host.CPUs > 0 && r.NanoCPUs > int64(host.CPUs)*nano:
		return nil, invalid("--cpus %s is not between 0.01 and %d.00, as this machine has %d processors",
			strconv.FormatFloat(float64(r.NanoCPUs)/nano, 'f', -1, 64), host.CPUs, host.CPUs)
	case r.NanoCPUs > 0 && (r.CPUQuota != 0 || r.CPUPeriod != 0):
		return nil, invalid("--cpus and --cpu-period or --cpu-quota say the same: use one")
	case r.CPUPeriod != 0 && (r.CPUPeriod < minPeriod || r.CPUPeriod > maxPeriod):
		return nil, invalid("--cpu-period %d is not between %d and %d microseconds", r.CPUPeriod, minPeriod, maxPeriod)
	case r.CPUQuota != 0 && r.CPUQuota != -1 && r.CPUQuota < minQuota:
		return nil, invalid("--cpu-quota %d is below the minimum of %d microseconds", r.CPUQuota, minQuota)
	case r.CPUShares != 0 && (r.CPUShares < minShares || r.CPUShares > maxShares):
		return nil, invalid("--cpu-shares %d is not between %d and %d", r.CPUShares, minShares, maxShares)
	case r.CPURealtimePeriod != 0 || r.CPURealtimeRuntime != 0:
		return nil, invalid("--cpu-rt-period and --cpu-rt-runtime are not supported")
	}
	if err := checkSet("--cpuset-cpus", "processors", r.CpusetCpus, host.CPUSet); err != nil {
		return nil, err
	}
	if err := checkSet("--cpuset-mems", "memory nodes", r.CpusetMems, host.MemoryNodes); err != nil {
		return nil, err
	}
	c := &specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
	if r.CPUShares != 0 {
		v := uint64(r.CPUShares)
		c.Shares = &v
	}
	period, quota := uint64(r.CPUPeriod), r.CPUQuota
	if r.NanoCPUs > 0 {
		period = 100_000
		quota = r.NanoCPUs / (nano / 100_000)
	}
	if period != 0 {
		c.Period = &period
	}
	if quota != 0 {
		c.Quota = &quota
	}
	if *c == (specs.LinuxCPU{}) {
		return nil, nil
	}
	return c, nil
}

// checkSet checks a list such as "0-2,4" against what there is.
func checkSet(option, what, list, available string) error {
	if list == "" {
		return nil
	}
	wanted, ok := parseSet(list)
	if !ok {
		return invalid("%s %q is not a list of numbers and ranges, as in 0-2,4", option, list)
	}
	have, ok := parseSet(available)
	if !ok {
		return nil // unknown: the kernel answers
	}
	for i := range wanted {
		if !have[i] {
			return invalid("%s %s: not all of these %s are there, which are %s", option, list, what, available)
		}
	}
	return nil
}

// maxSet bounds processor and node numbers (CONFIG_NR_CPUS is 8192 at most).
const maxSet = 8192

func parseSet(list string) (map[int]bool, bool) {
	set := make(map[int]bool)
	for _, part := range strings.Split(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		lo, err1 := strconv.ParseUint(first, 10, 16)
		hi, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || lo > hi || hi >= maxSet {
			return nil, false
		}
		for i := lo; i <= hi; i++ {
			set[int(i)] = true
		}
	}
	return set, true
}

// defaultPids limits processes where the request does not. Docker's client
// sends 0 for an option that is not given, so that 0 means the default too.
const defaultPids = 4096

func pidsOf(limit *int64) (*specs.LinuxPids, error) {
	v := int64(defaultPids)
	if limit != nil && *limit != 0 {
		v = *limit
	}
	if v < -1 {
		return nil, invalid("--pids-limit %d: it is a number of processes, or -1 for no limit", v)
	}
	return &specs.LinuxPids{Limit: &v}, nil
}

func blockIOOf(r container.Resources, host Host) (*specs.LinuxBlockIO, error) {
	b := &specs.LinuxBlockIO{}
	used := false
	if r.BlkioWeight != 0 {
		if err := checkWeight("--blkio-weight", r.BlkioWeight); err != nil {
			return nil, err
		}
		b.Weight, used = &r.BlkioWeight, true
	}
	for _, w := range r.BlkioWeightDevice {
		if w == nil { // JSON's null
			continue
		}
		if err := checkWeight("--blkio-weight-device "+w.Path, w.Weight); err != nil {
			return nil, err
		}
		id, err := blockDevice("--blkio-weight-device", w.Path, host)
		if err != nil {
			return nil, err
		}
		b.WeightDevice, used = append(b.WeightDevice, specs.LinuxWeightDevice{LinuxBlockIODevice: id, Weight: &w.Weight}), true
	}
	for _, t := range []struct {
		option string
		in     []*blkiodev.ThrottleDevice
		out    *[]specs.LinuxThrottleDevice
	}{
		{"--device-read-bps", r.BlkioDeviceReadBps, &b.ThrottleReadBpsDevice},
		{"--device-write-bps", r.BlkioDeviceWriteBps, &b.ThrottleWriteBpsDevice},
		{"--device-read-iops", r.BlkioDeviceReadIOps, &b.ThrottleReadIOPSDevice},
		{"--device-write-iops", r.BlkioDeviceWriteIOps, &b.ThrottleWriteIOPSDevice},
	} {
		for _, d := range t.in {
			if d == nil {
				continue
			}
			id, err := blockDevice(t.option, d.Path, host)
			if err != nil {
				return nil, err
			}
			*t.out, used = append(*t.out, specs.LinuxThrottleDevice{LinuxBlockIODevice: id, Rate: d.Rate}), true
		}
	}
	if !used {
		return nil, nil
	}
	return b, nil
}

func checkWeight(option string, w uint16) error {
	if w < 10 || w > 1000 {
		return invalid("%s %d is not between 10 and 1000", option, w)
	}
	return nil
}

func blockDevice(option, p string, host Host) (id specs.LinuxBlockIODevice, err error) {
	var nodes []specs.LinuxDevice
	if host.Devices != nil {
		if nodes, err = host.Devices(p); err != nil {
			return id, invalid("%s %s: %v", option, p, err)
		}
	}
	if len(nodes) != 1 || nodes[0].Type != "b" {
		return id, invalid("%s %s: not a block device", option, p)
	}
	id.Major, id.Minor = nodes[0].Major, nodes[0].Minor
	return id, nil
}

// CountSet counts the members of a list such as "0-2,4"; 0 if it is none.
func CountSet(list string) int {
	set, ok := parseSet(list)
	if !ok {
		return 0
	}
	return len(set)
}
