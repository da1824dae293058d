package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// deviceFlag is what users call device rules.
const deviceFlag = "--device or --device-cgroup-rule"

// access is a set of what may be done with a device. The bits are those of
// BPF_DEVCG_ACC_* (linux/bpf.h).
type access uint8

const (
	mknod access = 1 << iota
	read
	write
	allAccess = mknod | read | write
)

// String returns the letters, as version 1 takes them.
func (a access) String() string {
	s := ""
	for i, letter := range "mrw" {
		if a&(1<<i) != 0 {
			s += string(letter)
		}
	}
	return s
}

// wildcard is a major or minor number that matches every device.
const wildcard = -1

// nodes is the set of devices a rule is about. Its text is version 1's.
type nodes struct {
	kind         byte // 'a' all, 'b' block, 'c' character
	major, minor int64
}

var everything = nodes{'a', wildcard, wildcard}

func (n nodes) String() string {
	number := func(i int64) string {
		if i == wildcard {
			return "*"
		}
		return strconv.FormatInt(i, 10)
	}
	return fmt.Sprintf("%c %s:%s", n.kind, number(n.major), number(n.minor))
}

// overlaps tells whether some device is in both sets.
func (n nodes) overlaps(o nodes) bool {
	either := func(a, b int64) bool { return a == b || a == wildcard || b == wildcard }
	return (n.kind == o.kind || n.kind == 'a' || o.kind == 'a') && either(n.major, o.major) && either(n.minor, o.minor)
}

// rule allows or denies some access to some devices. Of the rules that
// match an access the last decides.
type rule struct {
	nodes
	access access
	allow  bool
}

// standard are the devices that the runtime spec promises to every
// container, and the right to make (not to open) any device node.
var standard = []rule{
	{nodes{'c', wildcard, wildcard}, mknod, true},
	{nodes{'b', wildcard, wildcard}, mknod, true},
	{nodes{'c', 1, 3}, allAccess, true},          // null
	{nodes{'c', 1, 5}, allAccess, true},          // zero
	{nodes{'c', 1, 7}, allAccess, true},          // full
	{nodes{'c', 1, 8}, allAccess, true},          // random
	{nodes{'c', 1, 9}, allAccess, true},          // urandom
	{nodes{'c', 5, 0}, allAccess, true},          // tty
	{nodes{'c', 5, 2}, allAccess, true},          // ptmx
	{nodes{'c', 136, wildcard}, allAccess, true}, // pts
}

// parseRules checks the spec's device rules and appends the standard devices.
func parseRules(list []specs.LinuxDeviceCgroup) ([]rule, error) {
	rules := make([]rule, 0, len(list)+len(standard))
	for _, d := range list {
		r, err := parseRule(d)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return append(rules, standard...), nil
}

func parseRule(d specs.LinuxDeviceCgroup) (rule, error) {
	r := rule{nodes: everything, allow: d.Allow}
	text := fmt.Sprintf("%s %s", d.Type, d.Access)
	switch d.Type {
	case "", "a":
	case "b":
		r.kind = 'b'
	case "c", "u":
		r.kind = 'c'
	default:
		return rule{}, invalid(deviceFlag, text, "a device's type is a, b, c or u")
	}
	for _, n := range []struct {
		from *int64
		to   *int64
		max  int64
	}{{d.Major, &r.major, 1<<12 - 1}, {d.Minor, &r.minor, 1<<20 - 1}} {
		if n.from == nil {
			continue
		}
		if *n.from < wildcard || *n.from > n.max {
			return rule{}, invalid(deviceFlag, text+" "+number(*n.from), "no device has this number")
		}
		*n.to = *n.from
	}
	for _, letter := range d.Access {
		switch letter {
		case 'm':
			r.access |= mknod
		case 'r':
			r.access |= read
		case 'w':
			r.access |= write
		default:
			return rule{}, invalid(deviceFlag, text, "access is made of r, w and m")
		}
	}
	if r.access == 0 { // runtime-spec: a rule without access is about all
		r.access = allAccess
	}
	return r, nil
}

// deviceRules is how the spec's rules reach the kernel; empty means no rules.
type deviceRules struct {
	version int
	v1      []deviceWrite
	v2      []linux.BPFInstruction
}

// deviceWrite is a run of lines for one of version 1's files.
type deviceWrite struct {
	file  string
	lines []string
}

// devices compiles the spec's rules for the layout. It is pure.
func (l Layout) devices(r *specs.LinuxResources) (deviceRules, error) {
	if r == nil || len(r.Devices) == 0 {
		return deviceRules{}, nil
	}
	rules, err := parseRules(r.Devices)
	if err != nil {
		return deviceRules{}, err
	}
	if _, v := l.find("devices"); v == 1 {
		writes, err := compileV1(rules)
		return deviceRules{version: 1, v1: writes}, err
	}
	if l.Unified == "" {
		return deviceRules{}, noController(deviceFlag, "devices")
	}
	return deviceRules{version: 2, v2: compileV2(rules)}, nil
}

func (d deviceRules) apply(c *Cgroup) error {
	switch d.version {
	case 1:
		dir, _ := c.dir("devices")
		for _, w := range d.v1 {
			if err := linux.WriteControl(dir+"/"+w.file, w.lines...); err != nil {
				return setting{flag: deviceFlag, file: w.file}.writeError(err)
			}
		}
	case 2:
		dir, err := os.Open(c.layout.Unified + c.path)
		if err != nil {
			return fmt.Errorf("apply %s: %w", deviceFlag, err)
		}
		defer dir.Close()
		if err := linux.AttachDeviceProgram(dir, d.v2); err != nil {
			class := error(errdefs.ErrFailedPrecondition)
			if errors.Is(err, fs.ErrPermission) {
				class = errdefs.ErrPermissionDenied
			}
			return &LimitError{Flag: deviceFlag, Class: class, Err: err, Reason: "the kernel takes no eBPF device program",
				Remedy: "it needs CONFIG_CGROUP_BPF, and root's capabilities"}
		}
	}
	return nil
}

// compileV1 turns the rules into writes. Version 1 keeps one default and a
// list of exceptions from it, so the rules are played through on such a list
// first; what it cannot express (an exception from an exception) is an error.
func compileV1(rules []rule) ([]deviceWrite, error) {
	allow, reset := true, false // a new group has its parent's rules, at most all
	var order []nodes
	except := map[nodes]access{}
	for _, r := range splitKinds(rules) {
		if r.nodes == everything {
			allow, reset = r.allow, true
			order, except = nil, map[nodes]access{}
			continue
		}
		if r.allow != allow {
			if except[r.nodes] == 0 {
				order = append(order, r.nodes)
			}
			except[r.nodes] |= r.access
			continue
		}
		except[r.nodes] &^= r.access
		for n, a := range except {
			if n != r.nodes && n.overlaps(r.nodes) && a&r.access != 0 {
				return nil, unsupported(deviceFlag, "the rule for "+r.String()+" makes an exception from the one for "+n.String()+", which cgroup v1 cannot express",
					"list the devices one by one")
			}
		}
	}
	toDefault, toExcept := "devices.allow", "devices.deny"
	if !allow {
		toDefault, toExcept = toExcept, toDefault
	}
	var writes []deviceWrite
	if reset {
		writes = append(writes, deviceWrite{toDefault, []string{"a"}})
	}
	var lines []string
	for _, n := range order {
		if a := except[n]; a != 0 {
			lines = append(lines, n.String()+" "+a.String())
			except[n] = 0 // a set that came back stands in order twice
		}
	}
	if len(lines) > 0 {
		writes = append(writes, deviceWrite{toExcept, lines})
	}
	return writes, nil
}

// splitKinds replaces rules about all kinds of devices, which version 1 takes
// only for all devices and all access, by one for block and one for character devices.
func splitKinds(rules []rule) []rule {
	var out []rule
	for _, r := range rules {
		if r.kind != 'a' || (r.nodes == everything && r.access == allAccess) {
			out = append(out, r)
			continue
		}
		for _, kind := range "bc" {
			r.kind = byte(kind)
			out = append(out, r)
		}
	}
	return out
}
