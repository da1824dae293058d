package seccomp

import (
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

// Operation codes (linux/bpf_common.h). All but opAnd on arguments are among
// those that the kernel evaluates when a filter is loaded.
const (
	opLoad        = 0x20 // BPF_LD  | BPF_W | BPF_ABS
	opAnd         = 0x54 // BPF_ALU | BPF_AND | BPF_K
	opReturn      = 0x06 // BPF_RET | BPF_K
	jumpAlways    = 0x05 // BPF_JMP | BPF_JA
	jumpEqual     = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	jumpAtLeast   = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	jumpAnyBit    = 0x45 // BPF_JMP | BPF_JSET | BPF_K
	maxBranchJump = math.MaxUint8
)

// label is an instruction, counted from the end of the program.
type label int

// assembler writes a program from its end to its start: jumps only go
// forward, so that every target is in place when a jump to it is written.
type assembler struct {
	rev     []bpf.RawInstruction // the last instruction first
	known   map[target]label     // where a target was placed last
	decided map[string]target    // the targets of argument rules
}

func (a *assembler) emit(i bpf.RawInstruction) label {
	a.rev = append(a.rev, i)
	return label(len(a.rev) - 1)
}

// distance is the jump from the instruction written next to l.
func (a *assembler) distance(l label) int { return len(a.rev) - 1 - int(l) }

// reach gives a label of the same effect as l that a branch can jump to when
// up to extra more instructions come before it.
func (a *assembler) reach(l label, extra int) label {
	if a.distance(l)+extra <= maxBranchJump {
		return l
	}
	if i := a.rev[l]; i.Op == opReturn {
		l = a.emit(i)
		a.known[action(i.K)] = l
		return l
	}
	return a.emit(bpf.RawInstruction{Op: jumpAlways, K: uint32(a.distance(l))})
}

// branch jumps to yes if the accumulator compares so with k, else to no.
func (a *assembler) branch(op uint16, k uint32, yes, no label) label {
	if yes == no {
		return yes
	}
	yes = a.reach(yes, 1) // no may need an instruction in between
	no = a.reach(no, 0)
	return a.emit(bpf.RawInstruction{Op: op, Jt: uint8(a.distance(yes)), Jf: uint8(a.distance(no)), K: k})
}

// load puts a word of seccomp_data in the accumulator and goes on at then.
func (a *assembler) load(offset uint32, then label) label {
	if a.distance(then) > 0 {
		a.emit(bpf.RawInstruction{Op: jumpAlways, K: uint32(a.distance(then))})
	}
	return a.emit(bpf.RawInstruction{Op: opLoad, K: offset})
}

// place writes the code of a target unless it is there already.
func (a *assembler) place(t target) label {
	if l, ok := t.(label); ok {
		return l
	}
	if l, ok := a.known[t]; ok {
		return l
	}
	var l label
	switch t := t.(type) {
	case action:
		l = a.emit(bpf.RawInstruction{Op: opReturn, K: uint32(t)})
	case *search:
		l = a.load(t.load, a.tree(t.steps))
	case *chain:
		l = a.chain(t)
	}
	a.known[t] = l
	return l
}

// tree finds the step of the accumulator's value by halving.
func (a *assembler) tree(f []step) label {
	var spans [][]step
	for len(f) > 0 {
		n := 1
		if len(f) >= 3 && f[0].to == f[2].to && f[2].from == f[1].from+1 {
			n = 3 // a single value within a step takes one comparison
		}
		spans = append(spans, f[:n])
		f = f[n:]
	}
	return a.halve(spans)
}

func (a *assembler) halve(spans [][]step) label {
	if len(spans) > 1 {
		mid := len(spans) / 2
		upper := a.halve(spans[mid:])
		lower := a.halve(spans[:mid])
		return a.branch(jumpAtLeast, uint32(spans[mid][0].from), upper, lower)
	}
	f := spans[0]
	l := a.place(f[0].to)
	if len(f) == 3 {
		l = a.branch(jumpEqual, uint32(f[1].from), a.place(f[1].to), l)
	}
	return l
}

// chain writes rules one after the other, the last first.
func (a *assembler) chain(c *chain) label {
	next := a.place(c.dflt)
	for i := len(c.rules) - 1; i >= 0; i-- {
		yes := a.place(c.rules[i].act)
		when := c.rules[i].when
		for j := len(when) - 1; j >= 0; j-- {
			yes = a.condition(when[j], c.wide, yes, next)
		}
		next = yes
	}
	return next
}

// condition writes one comparison of an argument.
func (a *assembler) condition(c specs.LinuxSeccompArg, wide bool, yes, no label) label {
	if c.Op == specs.OpMaskedEqual {
		l := a.masked(offArg(c.Index, false), uint32(c.Value), uint32(c.ValueTwo), yes, no)
		if wide {
			l = a.masked(offArg(c.Index, true), uint32(c.Value>>32), uint32(c.ValueTwo>>32), l, no)
		}
		return l
	}
	f := paintCondition(always(no), c, wide, yes)
	return a.place(searchArg(f, c.Index, wide))
}

// masked tests one half of an argument under a mask.
func (a *assembler) masked(offset, mask, want uint32, yes, no label) label {
	want &= mask
	if mask == 0 || yes == no {
		return yes
	}
	if want == 0 {
		return a.load(offset, a.branch(jumpAnyBit, mask, no, yes))
	}
	l := a.branch(jumpEqual, want, yes, no)
	if mask != math.MaxUint32 {
		l = a.emit(bpf.RawInstruction{Op: opAnd, K: mask})
	}
	return a.load(offset, l)
}
