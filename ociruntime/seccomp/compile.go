package seccomp

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

// Filter is a compiled profile. It is shared: do not change it.
type Filter struct {
	Insns []bpf.RawInstruction
	// Flags are those of seccomp(2), [FlagLog] and so on. FlagNewListener is
	// set if a rule asks a listener.
	Flags uint
}

// Bytes returns the program as an array of the kernel's struct sock_filter,
// little-endian as both architectures are.
func (f Filter) Bytes() []byte {
	b := make([]byte, 0, 8*len(f.Insns))
	for _, i := range f.Insns {
		b = binary.LittleEndian.AppendUint16(b, i.Op)
		b = append(b, i.Jt, i.Jf)
		b = binary.LittleEndian.AppendUint32(b, i.K)
	}
	return b
}

// maxInsns is the kernel's limit of a program (BPF_MAXINSNS).
const maxInsns = 4096

// Compile makes the filter of a profile for a machine of the architecture
// goarch, in Go's naming: amd64 or arm64. An empty profile is none: its filter
// has no instructions. The error names what is wrong in the profile.
func Compile(p *specs.LinuxSeccomp, goarch string) (Filter, error) {
	if p.DefaultAction == "" && len(p.Syscalls) == 0 {
		return Filter{}, nil // as runc takes it: seccomp is off
	}
	rules, err := readProfile(p)
	if err != nil {
		return Filter{}, err
	}
	m, err := machineOf(goarch, p.Architectures)
	if err != nil {
		return Filter{}, err
	}
	insns := assemble(m, rules)
	if len(insns) > maxInsns {
		return Filter{}, fmt.Errorf("the seccomp profile needs %d instructions and the kernel takes %d: give it fewer rules", len(insns), maxInsns)
	}
	return Filter{Insns: insns, Flags: rules.flags}, nil
}

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// offArg is the offset of a half of argument i; both machines are little-endian.
func offArg(i uint, high bool) uint32 {
	if high {
		return offArgs + 8*uint32(i) + 4
	}
	return offArgs + 8*uint32(i)
}

// assemble lays out: the architecture, then for each a search for the number.
func assemble(m machine, rules *ruleset) []bpf.RawInstruction {
	a := assembler{known: make(map[target]label)}
	next := a.place(retKillThread)
	for _, e := range slices.Backward(m) {
		found := a.place(oneOf(offNr, a.numbers(e, rules)))
		next = a.branch(jumpEqual, e.audit, found, next)
	}
	a.load(offArch, next)
	slices.Reverse(a.rev)
	return a.rev
}

// numbers gives the step function over the call numbers of one entry.
func (a *assembler) numbers(e entry, rules *ruleset) []step {
	f := always(rules.dflt)
	if e.audit == auditAMD64 && !slices.Contains(e.abis, x32) {
		// But not -1, by which a tracer skips a call.
		f = paint(f, x32Bit, math.MaxUint32-1, retKillThread)
	}
	for _, b := range e.abis {
		calls := rules.forABI(b)
		if first, ok := firstNew(b, calls); ok && !rules.dflt.permits() {
			for _, r := range b.ranges() {
				f = paint(f, max(r[0], first), r[1], retENOSYS)
				first = 0
			}
		}
		points := make([]step, 0, len(calls))
		for _, c := range calls {
			points = append(points, step{uint64(c.nr), a.decide(b, c.rules, rules.dflt)})
		}
		f = dot(f, points)
	}
	return f
}

// firstNew is the number after the highest that the profile names, leaving out
// the calls that an abi numbers apart; false if it names no other.
func firstNew(b abi, calls []numbered) (first uint64, ok bool) {
	for _, c := range calls {
		nr := c.nr
		if b == x32 && nr >= x32Own && nr < x32Own+36 || b == arm && nr >= armPrivate {
			continue
		}
		first, ok = max(first, uint64(nr)+1), true
	}
	return first, ok
}

// ranges are the first and last of the numbers that belong to an abi: what tells
// amd64's from x32's is one bit, whatever the bit above it.
func (a abi) ranges() [][2]uint64 {
	const high = 1 << 31
	switch a {
	case amd64:
		return [][2]uint64{{0, x32Bit - 1}, {high, high | (x32Bit - 1)}}
	case x32:
		return [][2]uint64{{x32Bit, high - 1}, {high | x32Bit, math.MaxUint32}}
	}
	return [][2]uint64{{0, math.MaxUint32}}
}
