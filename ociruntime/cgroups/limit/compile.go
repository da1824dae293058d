package limit

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The range of block I/O weights (block/bfq-cgroup.c), and a bound for lists
// that come from outside.
const (
	minWeight = 10
	maxWeight = 1000
	maxRules  = 4096
)

// Host tells the version of the hierarchy that has a controller: 1, 2, or 0 if
// the host does not have it. [Core] is in every version 2 hierarchy.
type Host func(controller string) (version int)

// Compile turns the spec's limits into what is to be written on this host. It
// is pure. A limit that is malformed or whose controller is missing is an
// [*Error].
func Compile(h Host, r *specs.LinuxResources) ([]Setting, error) {
	if r == nil {
		return nil, nil
	}
	if err := check(h, r); err != nil {
		return nil, err
	}
	var out []Setting
	for _, part := range []func(*specs.LinuxResources) ([]Setting, error){
		h.memory, h.cpu, h.cpuset, h.pids, h.blockIO, h.hugetlb, h.network, h.rdma, h.unified,
	} {
		s, err := part(r)
		if err != nil {
			return nil, err
		}
		out = append(out, s...)
	}
	for _, s := range out {
		if h(s.Controller) == 0 && !s.Optional {
			return nil, NoController(s.Flag, s.Controller)
		}
	}
	return slices.DeleteFunc(out, func(s Setting) bool { return h(s.Controller) == 0 }), nil
}

// version is the version of the controller's hierarchy. A missing controller
// counts as version 1: the limit's flag is then found from version 1's settings.
func (h Host) version(controller string) int { return max(h(controller), 1) }

func (h Host) memory(r *specs.LinuxResources) ([]Setting, error) {
	if r.Memory == nil {
		return nil, nil
	}
	if h.version("memory") == 2 {
		return memoryV2(r.Memory)
	}
	return memoryV1(r.Memory), nil
}

func (h Host) cpu(r *specs.LinuxResources) ([]Setting, error) {
	if r.CPU == nil {
		return nil, nil
	}
	if h.version("cpu") == 2 {
		return cpuV2(r.CPU)
	}
	return cpuV1(r.CPU), nil
}

func (h Host) cpuset(r *specs.LinuxResources) ([]Setting, error) {
	var out []Setting
	if r.CPU != nil && r.CPU.Cpus != "" {
		out = append(out, Setting{Flag: "--cpuset-cpus", Controller: "cpuset", File: "cpuset.cpus", Value: r.CPU.Cpus})
	}
	if r.CPU != nil && r.CPU.Mems != "" {
		out = append(out, Setting{Flag: "--cpuset-mems", Controller: "cpuset", File: "cpuset.mems", Value: r.CPU.Mems})
	}
	return out, nil
}

func (h Host) pids(r *specs.LinuxResources) ([]Setting, error) {
	if r.Pids == nil || r.Pids.Limit == nil {
		return nil, nil
	}
	value := "max"
	if n := *r.Pids.Limit; n >= 0 {
		value = number(max(n, 1)) // runtime-spec 1.3: a limit of 0 lets only init run
	}
	return []Setting{{Flag: "--pids-limit", Controller: "pids", File: "pids.max", Value: value, Optional: value == "max", Fresh: value == "max"}}, nil
}

func (h Host) blockIO(r *specs.LinuxResources) ([]Setting, error) {
	if r.BlockIO == nil {
		return nil, nil
	}
	if h("io") == 2 {
		return ioV2(r.BlockIO)
	}
	return blkioV1(r.BlockIO), nil
}

func (h Host) hugetlb(r *specs.LinuxResources) ([]Setting, error) {
	var out []Setting
	for _, page := range r.HugepageLimits {
		suffix := ".limit_in_bytes"
		if h.version("hugetlb") == 2 {
			suffix = ".max"
		}
		s := Setting{Flag: "hugepageLimits", Controller: "hugetlb", File: "hugetlb." + page.Pagesize + suffix, Value: number(page.Limit)}
		reserved := s
		reserved.File, reserved.Optional = "hugetlb."+page.Pagesize+".rsvd"+suffix, true
		out = append(out, s, reserved)
	}
	return out, nil
}

func (h Host) network(r *specs.LinuxResources) ([]Setting, error) {
	var out []Setting
	if r.Network == nil {
		return nil, nil
	}
	if IsSet(r.Network.ClassID) {
		out = append(out, Setting{Flag: "network.classID", Controller: "net_cls", File: "net_cls.classid", Value: number(*r.Network.ClassID)})
	}
	for _, p := range r.Network.Priorities {
		out = append(out, Setting{Flag: "network.priorities", Controller: "net_prio", File: "net_prio.ifpriomap", Value: p.Name + " " + number(p.Priority)})
	}
	return out, nil
}

func (h Host) rdma(r *specs.LinuxResources) ([]Setting, error) {
	var out []Setting
	for _, name := range slices.Sorted(maps.Keys(r.Rdma)) {
		value := name
		if n := r.Rdma[name].HcaHandles; n != nil {
			value += " hca_handle=" + number(*n)
		}
		if n := r.Rdma[name].HcaObjects; n != nil {
			value += " hca_object=" + number(*n)
		}
		out = append(out, Setting{Flag: "rdma", Controller: "rdma", File: "rdma.max", Value: value})
	}
	return out, nil
}

// unified passes files of version 2 through as the spec gives them.
func (h Host) unified(r *specs.LinuxResources) ([]Setting, error) {
	var out []Setting
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		flag := "unified." + file
		if h(Core) == 0 {
			return nil, Unsupported(flag, "this host has no cgroup v2 hierarchy", "use the limit's own field")
		}
		controller, _, _ := strings.Cut(file, ".") // of "cgroup.max.depth" it is Core
		if h(controller) != 2 {
			return nil, NoController(flag, "v2 "+controller)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(r.Unified[file], "\n"), "\n") { // a table takes a line at a time
			out = append(out, Setting{Flag: flag, Controller: controller, File: file, Value: line})
		}
	}
	return out, nil
}

// check refuses what is out of range or could reach a file it should not.
func check(h Host, r *specs.LinuxResources) error {
	for _, one := range []func(*specs.LinuxResources) error{checkMemory, h.checkCPU, checkBlockIO, checkNames} {
		if err := one(r); err != nil {
			return err
		}
	}
	return nil
}

func checkMemory(r *specs.LinuxResources) error {
	m := r.Memory
	if m == nil {
		return nil
	}
	for _, f := range []struct {
		flag string
		n    *int64
	}{{"--memory", m.Limit}, {"--memory-swap", m.Swap}, {"--memory-reservation", m.Reservation}, {"memory.kernelTCP", m.KernelTCP}} {
		if f.n != nil && *f.n < -1 {
			return Invalid(f.flag, number(*f.n), "it is negative; -1 means unlimited")
		}
	}
	if IsSet(m.Swap) && IsSet(m.Limit) && *m.Swap != -1 && *m.Limit != -1 && *m.Swap < *m.Limit {
		return Invalid("--memory-swap", number(*m.Swap), "it counts memory and swap together and is less than --memory ("+number(*m.Limit)+")")
	}
	if swappiness(m) && *m.Swappiness > 100 {
		return Invalid("--memory-swappiness", number(*m.Swappiness), "it must be 0 to 100")
	}
	return nil
}

func (h Host) checkCPU(r *specs.LinuxResources) error {
	c := r.CPU
	if c == nil {
		return nil
	}
	// Version 2's weight is clamped, as runc does: there it is a relation of two scales.
	if IsSet(c.Shares) && h("cpu") != 2 && (*c.Shares < minShares || *c.Shares > maxShares) {
		return Invalid("--cpu-shares", number(*c.Shares), "it must be 2 to 262144")
	}
	if IsSet(c.Quota) && *c.Quota < -1 {
		return Invalid("--cpus or --cpu-quota", number(*c.Quota), "it is negative; -1 means unlimited")
	}
	for _, f := range []struct{ flag, list string }{{"--cpuset-cpus", c.Cpus}, {"--cpuset-mems", c.Mems}} {
		if len(f.list) > 4096 || strings.Trim(f.list, "0123456789,-:/") != "" {
			return Invalid(f.flag, f.list, "it must be a list of numbers and ranges such as 0-2,4")
		}
	}
	return nil
}

func checkBlockIO(r *specs.LinuxResources) error {
	b := r.BlockIO
	if b == nil {
		return nil
	}
	outside := func(flag string, w *uint16) error {
		if IsSet(w) && (*w < minWeight || *w > maxWeight) {
			return Invalid(flag, number(*w), "it must be 10 to 1000")
		}
		return nil
	}
	err := cmp.Or(outside("--blkio-weight", b.Weight), outside("blockIO.leafWeight", b.LeafWeight))
	for _, d := range b.WeightDevice {
		err = cmp.Or(err, outside("--blkio-weight-device", d.Weight), outside("blockIO.weightDevice.leafWeight", d.LeafWeight))
		if d.Major < 0 || d.Minor < 0 {
			err = cmp.Or(err, Invalid("--blkio-weight-device", device(d.Major, d.Minor), "a device number is negative"))
		}
	}
	for _, t := range throttles(b) {
		for _, d := range t.devices {
			if d.Major < 0 || d.Minor < 0 {
				err = cmp.Or(err, Invalid(t.flag, device(d.Major, d.Minor), "a device number is negative"))
			}
		}
	}
	return err
}

// checkNames looks at what becomes part of a file name or of a line.
func checkNames(r *specs.LinuxResources) error {
	if n := len(r.HugepageLimits) + len(r.Rdma) + len(r.Unified) + len(r.Devices); n > maxRules {
		return Invalid("linux.resources", number(n), "more than 4096 entries")
	}
	for _, h := range r.HugepageLimits {
		digits := strings.TrimRight(h.Pagesize, "KMGB")
		if unit := strings.TrimPrefix(h.Pagesize, digits); digits == "" || len(h.Pagesize) > 20 || strings.Trim(digits, "0123456789") != "" ||
			(unit != "KB" && unit != "MB" && unit != "GB") {
			return Invalid("hugepageLimits", h.Pagesize, "a page size looks like 2MB")
		}
	}
	if r.Network != nil {
		for _, p := range r.Network.Priorities {
			if p.Name == "" || len(p.Name) > 15 || strings.ContainsAny(p.Name, " \t\n/") {
				return Invalid("network.priorities", p.Name, "it is not the name of an interface")
			}
		}
	}
	for name := range r.Rdma {
		if name == "" || len(name) > 64 || strings.ContainsAny(name, " \t\n=") {
			return Invalid("rdma", name, "it is not the name of a device")
		}
	}
	for file, value := range r.Unified {
		controller, _, ok := strings.Cut(file, ".")
		if !ok || controller == "" || len(file) > 255 || len(value) > 4096 || strings.ContainsAny(file, "/\n\x00") {
			return Invalid("unified", file, "it is not a cgroup v2 file such as memory.high")
		}
		switch file {
		case "cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze":
			return Invalid("unified", file, "this file moves, ends or stops processes and holds no limit")
		}
	}
	return nil
}
