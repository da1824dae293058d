package devicerule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Write is a run of lines for one of version 1's files, each its own write(2).
type Write struct {
	File  string
	Lines []string
}

// List is what the kernel keeps for a version 1 group: whether it allows what
// nothing else is said about, and exceptions from that.
type List struct {
	allow bool
	// reset: a rule about everything made it so; else the parent's rules hold too.
	reset bool
	order []nodes
	acc   map[nodes]access
	// unknown: the group denies exceptions that nobody can read back.
	unknown bool
}

// Emulate plays the rules through as the kernel would. What such a list cannot
// express, an exception from an exception, is an error, which is one half sentence.
func Emulate(rules []Rule) (List, error) {
	l := List{allow: true, acc: map[nodes]access{}} // a new group has its parent's rules, at most all
	for _, r := range splitKinds(rules) {
		switch {
		case r.nodes == everything:
			l = List{allow: r.allow, reset: true, acc: map[nodes]access{}}
		case r.allow != l.allow:
			l.add(r.nodes, r.access)
		default:
			l.acc[r.nodes] &^= r.access
			for n, a := range l.acc {
				if n != r.nodes && n.overlaps(r.nodes) && a&r.access != 0 {
					return List{}, fmt.Errorf("the rule for %s makes an exception from the one for %s, which cgroup v1 cannot express", r.nodes, n)
				}
			}
		}
	}
	return l, nil
}

func (l *List) add(n nodes, a access) {
	if _, known := l.acc[n]; !known {
		l.order = append(l.order, n)
	}
	l.acc[n] |= a
}

// Current reads a group's devices.list.
func Current(text string) (List, error) {
	l := List{acc: map[nodes]access{}}
	for line := range strings.Lines(text) {
		n, a, err := parseLine(line)
		if err != nil {
			return List{}, fmt.Errorf("line %q of devices.list: %w", line, err)
		}
		if n.kind == 'a' { // the list of denied devices is kept, and not shown
			return List{allow: true, unknown: true, acc: map[nodes]access{}}, nil
		}
		l.add(n, a)
	}
	return l, nil
}

func parseLine(line string) (n nodes, a access, err error) {
	f := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ':' || r == '\n' })
	if len(f) != 4 || len(f[0]) != 1 || !strings.Contains("abc", f[0]) {
		return n, 0, fmt.Errorf("it is not a kind, two numbers and an access")
	}
	n.kind = f[0][0]
	for i, to := range []*int64{&n.major, &n.minor} {
		if f[1+i] == "*" {
			*to = wildcard
			continue
		}
		number, err := strconv.ParseUint(f[1+i], 10, 32)
		if err != nil {
			return n, 0, err
		}
		*to = int64(number)
	}
	a, err = parseAccess(f[3])
	return n, a, err
}

// Everything is the list that allows all.
func Everything() List { return List{allow: true, reset: true, acc: map[nodes]access{}} }

// Fresh returns the writes that bring a new group to l.
func (l List) Fresh() []Write {
	toDefault, toExcept := files(l.allow)
	var writes []Write
	if l.reset {
		writes = append(writes, Write{toDefault, []string{"a"}})
	}
	return appendWrite(writes, toExcept, l.lines(nil))
}

// From returns the writes that bring a group from what it allows now to l.
// Whatever both allow stays allowed all the while, if the kernel lets it be known.
func (l List) From(now List) []Write {
	if l.allow && now.allow && len(l.order) == 0 && !now.unknown {
		return nil
	}
	if now.unknown || now.allow != l.allow {
		l.reset = true
		return l.Fresh()
	}
	toDefault, toExcept := files(l.allow)
	writes := appendWrite(nil, toExcept, l.lines(now.acc))
	return appendWrite(writes, toDefault, now.lines(l.acc))
}

// files are where the default and where exceptions are written.
func files(allow bool) (toDefault, toExcept string) {
	if allow {
		return "devices.allow", "devices.deny"
	}
	return "devices.deny", "devices.allow"
}

func appendWrite(writes []Write, file string, lines []string) []Write {
	if len(lines) == 0 {
		return writes
	}
	return append(writes, Write{file, lines})
}

// lines are the exceptions that are not in other already.
func (l List) lines(other map[nodes]access) []string {
	var lines []string
	for _, n := range l.order {
		if a := l.acc[n] &^ other[n]; a != 0 {
			lines = append(lines, n.String()+" "+a.String())
		}
	}
	return lines
}

// Same tells whether two lists allow the same, as far as can be known.
func (l List) Same(o List) bool {
	if l.unknown || o.unknown || l.allow != o.allow {
		return l.allow == o.allow
	}
	return len(l.lines(o.acc)) == 0 && len(o.lines(l.acc)) == 0
}

// splitKinds replaces rules about all kinds of devices, which version 1 takes
// only for all devices and all access, by one for block and one for character devices.
func splitKinds(rules []Rule) []Rule {
	out := make([]Rule, 0, len(rules)+2)
	for _, r := range rules {
		if r.kind != 'a' || r.nodes == everything && r.access == allAccess {
			out = append(out, r)
			continue
		}
		for _, kind := range "bc" {
			r.kind = byte(kind)
			out = append(out, r)
		}
	}
	return slices.Clip(out)
}

// Entry is a set of devices with what may be done with them. A negative number is any.
type Entry struct {
	Block        bool
	Major, Minor int64
	Access       string
}

// KindName is "block" or "char".
func (e Entry) KindName() string {
	if e.Block {
		return "block"
	}
	return "char"
}

// Allowed lists what is allowed, unless all is that no exception denies.
func (l List) Allowed() (entries []Entry, all bool) {
	if l.allow {
		return nil, true
	}
	for _, n := range l.order {
		if a := l.acc[n]; a != 0 {
			entries = append(entries, Entry{n.kind == 'b', n.major, n.minor, a.String()})
		}
	}
	return entries, false
}
