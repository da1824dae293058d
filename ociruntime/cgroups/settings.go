package cgroups

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

// settings turns the spec's limits into what is to be written in this layout.
// It is pure. A limit that is malformed or whose controller is missing is a
// [LimitError].
func (l Layout) settings(r *specs.LinuxResources) ([]setting, error) {
	if r == nil {
		return nil, nil
	}
	if err := check(r); err != nil {
		return nil, err
	}
	var out []setting
	for _, part := range []func(*specs.LinuxResources) ([]setting, error){
		l.memory, l.cpu, l.cpuset, l.pids, l.blockIO, l.hugetlb, l.network, l.rdma, l.unified,
	} {
		s, err := part(r)
		if err != nil {
			return nil, err
		}
		out = append(out, s...)
	}
	for _, s := range out {
		if _, version := l.find(s.controller); version == 0 && !s.optional {
			return nil, noController(s.flag, s.controller)
		}
	}
	return slices.DeleteFunc(out, func(s setting) bool { _, v := l.find(s.controller); return v == 0 }), nil
}

// version is the version of the controller's hierarchy. A missing controller
// counts as version 1: the limit's flag is then found from version 1's settings.
func (l Layout) version(controller string) int {
	_, v := l.find(controller)
	return max(v, 1)
}

func (l Layout) memory(r *specs.LinuxResources) ([]setting, error) {
	if r.Memory == nil {
		return nil, nil
	}
	if l.version("memory") == 2 {
		return memoryV2(r.Memory)
	}
	return memoryV1(r.Memory), nil
}

func (l Layout) cpu(r *specs.LinuxResources) ([]setting, error) {
	if r.CPU == nil {
		return nil, nil
	}
	if l.version("cpu") == 2 {
		return cpuV2(r.CPU)
	}
	return cpuV1(r.CPU), nil
}

func (l Layout) cpuset(r *specs.LinuxResources) ([]setting, error) {
	var out []setting
	if r.CPU != nil && r.CPU.Cpus != "" {
		out = append(out, setting{flag: "--cpuset-cpus", controller: "cpuset", file: "cpuset.cpus", value: r.CPU.Cpus})
	}
	if r.CPU != nil && r.CPU.Mems != "" {
		out = append(out, setting{flag: "--cpuset-mems", controller: "cpuset", file: "cpuset.mems", value: r.CPU.Mems})
	}
	return out, nil
}

func (l Layout) pids(r *specs.LinuxResources) ([]setting, error) {
	if r.Pids == nil || r.Pids.Limit == nil {
		return nil, nil
	}
	value := "max"
	if n := *r.Pids.Limit; n >= 0 {
		value = number(max(n, 1)) // runtime-spec 1.3: a limit of 0 lets only init run
	}
	return []setting{{flag: "--pids-limit", controller: "pids", file: "pids.max", value: value, optional: value == "max"}}, nil
}

func (l Layout) blockIO(r *specs.LinuxResources) ([]setting, error) {
	if r.BlockIO == nil {
		return nil, nil
	}
	if _, v := l.find("io"); v == 2 {
		return ioV2(r.BlockIO)
	}
	return blkioV1(r.BlockIO), nil
}

func (l Layout) hugetlb(r *specs.LinuxResources) ([]setting, error) {
	var out []setting
	for _, h := range r.HugepageLimits {
		suffix := ".limit_in_bytes"
		if l.version("hugetlb") == 2 {
			suffix = ".max"
		}
		s := setting{flag: "hugepageLimits", controller: "hugetlb", file: "hugetlb." + h.Pagesize + suffix, value: number(h.Limit)}
		reserved := s
		reserved.file, reserved.optional = "hugetlb."+h.Pagesize+".rsvd"+suffix, true
		out = append(out, s, reserved)
	}
	return out, nil
}

func (l Layout) network(r *specs.LinuxResources) ([]setting, error) {
	var out []setting
	if r.Network == nil {
		return nil, nil
	}
	if isSet(r.Network.ClassID) {
		out = append(out, setting{flag: "network.classID", controller: "net_cls", file: "net_cls.classid", value: number(*r.Network.ClassID)})
	}
	for _, p := range r.Network.Priorities {
		out = append(out, setting{flag: "network.priorities", controller: "net_prio", file: "net_prio.ifpriomap", value: p.Name + " " + number(p.Priority)})
	}
	return out, nil
}

func (l Layout) rdma(r *specs.LinuxResources) ([]setting, error) {
	var out []setting
	for _, name := range slices.Sorted(maps.Keys(r.Rdma)) {
		value := name
		if h := r.Rdma[name].HcaHandles; h != nil {
			value += " hca_handle=" + number(*h)
		}
		if o := r.Rdma[name].HcaObjects; o != nil {
			value += " hca_object=" + number(*o)
		}
		out = append(out, setting{flag: "rdma", controller: "rdma", file: "rdma.max", value: value})
	}
	return out, nil
}

// unified passes files of version 2 through as the spec gives them.
func (l Layout) unified(r *specs.LinuxResources) ([]setting, error) {
	var out []setting
	for _, file := range slices.Sorted(maps.Keys(r.Unified)) {
		flag := "unified." + file
		if l.Unified == "" {
			return nil, unsupported(flag, "this host has no cgroup v2 hierarchy", "use the limit's own field")
		}
		controller, _, _ := strings.Cut(file, ".")
		if controller == "cgroup" {
			controller = unifiedCore
		} else if _, v := l.find(controller); v != 2 {
			return nil, noController(flag, "v2 "+controller)
		}
		out = append(out, setting{flag: flag, controller: controller, file: file, value: r.Unified[file]})
	}
	return out, nil
}

// check refuses what is out of range or could reach a file it should not.
func check(r *specs.LinuxResources) error {
	for _, one := range []func(*specs.LinuxResources) error{checkMemory, checkCPU, checkBlockIO, checkNames} {
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
			return invalid(f.flag, number(*f.n), "it is negative; -1 means unlimited")
		}
	}
	if isSet(m.Swap) && isSet(m.Limit) && *m.Swap != -1 && *m.Limit != -1 && *m.Swap < *m.Limit {
		return invalid("--memory-swap", number(*m.Swap), "it counts memory and swap together and is less than --memory ("+number(*m.Limit)+")")
	}
	if m.Swappiness != nil && *m.Swappiness > 100 {
		return invalid("--memory-swappiness", number(*m.Swappiness), "it must be 0 to 100")
	}
	if m.UseHierarchy != nil && !*m.UseHierarchy {
		return unsupported("memory.useHierarchy", "the kernel always counts memory hierarchically", "leave it out")
	}
	return nil
}

func checkCPU(r *specs.LinuxResources) error {
	c := r.CPU
	if c == nil {
		return nil
	}
	if isSet(c.Shares) && (*c.Shares < minShares || *c.Shares > maxShares) {
		return invalid("--cpu-shares", number(*c.Shares), "it must be 2 to 262144")
	}
	if isSet(c.Quota) && *c.Quota < -1 {
		return invalid("--cpus or --cpu-quota", number(*c.Quota), "it is negative; -1 means unlimited")
	}
	for _, f := range []struct{ flag, list string }{{"--cpuset-cpus", c.Cpus}, {"--cpuset-mems", c.Mems}} {
		if len(f.list) > 4096 || strings.Trim(f.list, "0123456789,-") != "" {
			return invalid(f.flag, f.list, "it must be a list of numbers and ranges such as 0-2,4")
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
		if isSet(w) && (*w < minWeight || *w > maxWeight) {
			return invalid(flag, number(*w), "it must be 10 to 1000")
		}
		return nil
	}
	err := cmp.Or(outside("--blkio-weight", b.Weight), outside("blockIO.leafWeight", b.LeafWeight))
	for _, d := range b.WeightDevice {
		err = cmp.Or(err, outside("--blkio-weight-device", d.Weight), outside("blockIO.weightDevice.leafWeight", d.LeafWeight))
		if d.Major < 0 || d.Minor < 0 {
			err = cmp.Or(err, invalid("--blkio-weight-device", device(d.Major, d.Minor), "a device number is negative"))
		}
	}
	for _, t := range throttles(b) {
		for _, d := range t.devices {
			if d.Major < 0 || d.Minor < 0 {
				err = cmp.Or(err, invalid(t.flag, device(d.Major, d.Minor), "a device number is negative"))
			}
		}
	}
	return err
}

// checkNames looks at what becomes part of a file name or of a line.
func checkNames(r *specs.LinuxResources) error {
	if n := len(r.HugepageLimits) + len(r.Rdma) + len(r.Unified) + len(r.Devices); n > maxRules {
		return invalid("linux.resources", number(n), "more than 4096 entries")
	}
	for _, h := range r.HugepageLimits {
		digits := strings.TrimRight(h.Pagesize, "KMGB")
		if unit := strings.TrimPrefix(h.Pagesize, digits); digits == "" || len(h.Pagesize) > 20 || strings.Trim(digits, "0123456789") != "" ||
			(unit != "KB" && unit != "MB" && unit != "GB") {
			return invalid("hugepageLimits", h.Pagesize, "a page size looks like 2MB")
		}
	}
	if r.Network != nil {
		for _, p := range r.Network.Priorities {
			if p.Name == "" || len(p.Name) > 15 || strings.ContainsAny(p.Name, " \t\n/") {
				return invalid("network.priorities", p.Name, "it is not the name of an interface")
			}
		}
	}
	for name := range r.Rdma {
		if name == "" || len(name) > 64 || strings.ContainsAny(name, " \t\n=") {
			return invalid("rdma", name, "it is not the name of a device")
		}
	}
	for file, value := range r.Unified {
		controller, _, ok := strings.Cut(file, ".")
		if !ok || controller == "" || len(file) > 255 || len(value) > 4096 || strings.ContainsAny(file, "/\n\x00") {
			return invalid("unified", file, "it is not a cgroup v2 file such as memory.high")
		}
		if controller == "cgroup" && file != "cgroup.max.depth" && file != "cgroup.max.descendants" {
			return invalid("unified", file, "this file holds no limit")
		}
	}
	return nil
}
