// Package devicerule compiles a container's device rules for the kernel: into
// lines for cgroup v1, or into an eBPF program for cgroup v2.
//
// Level: R.
// Owns: what device rules mean, and which devices every container may use.
// May import: internal/linux (the form of an instruction), runtime-spec.
// Must not know: where cgroups are mounted, other ociruntime rooms.
package devicerule

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

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

// Rule allows or denies some access to some devices. Of the rules that
// match an access the last decides.
type Rule struct {
	nodes
	access access
	allow  bool
}

// standard are the devices that the runtime spec promises to every
// container, and the right to make (not to open) any device node.
var standard = []Rule{
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

// Parse checks the spec's device rules and appends the standard devices. An
// error is one half sentence about the rule.
func Parse(list []specs.LinuxDeviceCgroup) ([]Rule, error) {
	rules := make([]Rule, 0, len(list)+len(standard))
	for _, d := range list {
		r, err := parseRule(d)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return append(rules, standard...), nil
}

func parseRule(d specs.LinuxDeviceCgroup) (Rule, error) {
	r := Rule{nodes: everything, allow: d.Allow}
	text := fmt.Sprintf("%s %s", d.Type, d.Access)
	switch d.Type {
	case "", "a":
	case "b":
		r.kind = 'b'
	case "c", "u":
		r.kind = 'c'
	default:
		return Rule{}, fmt.Errorf("rule %q: a device's type is a, b, c or u", text)
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
			return Rule{}, fmt.Errorf("rule %q: no device has the number %d", text, *n.from)
		}
		*n.to = *n.from
	}
	var err error
	if r.access, err = parseAccess(d.Access); err != nil {
		return Rule{}, fmt.Errorf("rule %q: %w", text, err)
	}
	if r.access == 0 { // runtime-spec: a rule without access is about all
		r.access = allAccess
	}
	return r, nil
}

func parseAccess(letters string) (a access, err error) {
	for _, letter := range letters {
		switch letter {
		case 'm':
			a |= mknod
		case 'r':
			a |= read
		case 'w':
			a |= write
		default:
			return 0, fmt.Errorf("access is made of r, w and m")
		}
	}
	return a, nil
}
