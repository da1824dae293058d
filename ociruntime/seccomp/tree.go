package seccomp

import (
	"fmt"
	"math"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// target is where a decision leads: an action, a *search, a *chain, or the
// label of code that is in place already.
type target any

// step says that values from its own up to the next step's lead to its target.
type step struct {
	from uint64
	to   target
}

// search loads a word of seccomp_data and looks its value up. The steps cover
// all of 32 bits: the first is from 0.
type search struct {
	load  uint32
	steps []step
}

// chain tries rules in order; it is for those that one search cannot decide.
type chain struct {
	rules []rule
	dflt  action
	wide  bool
}

// always is the step function of one value.
func always(to target) []step { return []step{{0, to}} }

// paint returns f with the values first to last leading to another target.
// Neighbours of equal targets become one step.
func paint(f []step, first, last uint64, to target) []step {
	out := make([]step, 0, len(f)+2)
	put := func(from uint64, to target) {
		if n := len(out); n == 0 || out[n-1].to != to {
			out = append(out, step{from, to})
		}
	}
	var resumed target // what f says at last+1
	for _, s := range f {
		if s.from < first {
			put(s.from, s.to)
		}
		if last < math.MaxUint64 && s.from <= last+1 {
			resumed = s.to
		}
	}
	put(first, to)
	if last < math.MaxUint64 {
		put(last+1, resumed)
	}
	for _, s := range f {
		if last < math.MaxUint64 && s.from > last+1 {
			put(s.from, s.to)
		}
	}
	return out
}

// dot returns f with single values leading to other targets, as many calls of
// paint would, in one go. The points are sorted.
func dot(f, points []step) []step {
	out := make([]step, 0, len(f)+2*len(points))
	put := func(from uint64, to target) {
		if n := len(out); n == 0 || out[n-1].to != to {
			out = append(out, step{from, to})
		}
	}
	var base target // what f says at the place reached
	for i, next := 0, uint64(0); ; {
		for len(f) > 0 && f[0].from <= next {
			base, f = f[0].to, f[1:]
		}
		if i < len(points) && points[i].from == next {
			put(next, points[i].to)
			next, i = next+1, i+1
			continue
		}
		put(next, base)
		switch {
		case i < len(points) && (len(f) == 0 || points[i].from < f[0].from):
			next = points[i].from
		case len(f) > 0:
			next = f[0].from
		default:
			return out
		}
	}
}

// decide gives the target of a call with these rules. Equal rules have one
// target, whichever call they belong to.
func (a *assembler) decide(b abi, rules []rule, dflt action) target {
	if len(rules) == 0 {
		return dflt
	}
	if len(rules[0].when) == 0 {
		return rules[0].act
	}
	key := fmt.Sprint(b.wide(), rules)
	if t, ok := a.decided[key]; ok {
		return t
	}
	var t target = &chain{rules: rules, dflt: dflt, wide: b.wide()}
	if f, index, ok := stepsOf(rules, dflt, b.wide()); ok {
		t = searchArg(f, index, b.wide())
	}
	if a.decided == nil {
		a.decided = make(map[string]target)
	}
	a.decided[key] = t
	return t
}

// stepsOf merges rules that each compare the same argument once, without a
// mask, to one step function.
func stepsOf(rules []rule, dflt action, wide bool) (f []step, index uint, ok bool) {
	index = rules[0].when[0].Index
	f = always(dflt)
	for _, r := range slices.Backward(rules) { // the first rule is painted last
		c := r.when[0]
		if len(r.when) != 1 || c.Index != index || c.Op == specs.OpMaskedEqual {
			return nil, 0, false
		}
		f = paintCondition(f, c, wide, r.act)
	}
	return f, index, true
}

// paintCondition paints the values for which c holds. Where arguments have 32
// bits, only the low half of the value counts, as for libseccomp, so that a
// profile may write -1 with 64 bits.
func paintCondition(f []step, c specs.LinuxSeccompArg, wide bool, to target) []step {
	v, top := c.Value, uint64(math.MaxUint64)
	if !wide {
		top = math.MaxUint32
		v &= top
	}
	upTo := func(last uint64) { f = paint(f, 0, last, to) }
	from := func(first uint64) { f = paint(f, first, top, to) }
	switch c.Op {
	case specs.OpEqualTo:
		f = paint(f, v, v, to)
	case specs.OpNotEqual:
		if v > 0 {
			upTo(v - 1)
		}
		if v < top {
			from(v + 1)
		}
	case specs.OpLessThan:
		if v > 0 {
			upTo(v - 1)
		}
	case specs.OpLessEqual:
		upTo(v)
	case specs.OpGreaterEqual:
		from(v)
	case specs.OpGreaterThan:
		if v < top {
			from(v + 1)
		}
	}
	return f
}

// searchArg gives the search over an argument: its high half first, then, for
// those of its values where that leaves a choice, its low half.
func searchArg(f []step, index uint, wide bool) target {
	high := always(nil)
	for i := 0; i < len(f); {
		h := f[i].from >> 32
		low := always(valueAt(f, h<<32))
		for ; i < len(f) && f[i].from>>32 == h; i++ {
			low = paint(low, f[i].from&math.MaxUint32, math.MaxUint32, f[i].to)
		}
		high = paint(high, h, h, oneOf(offArg(index, false), low))
		if h < math.MaxUint32 {
			high = paint(high, h+1, math.MaxUint32, f[i-1].to)
		}
	}
	if !wide {
		return high[0].to
	}
	return oneOf(offArg(index, true), high)
}

// oneOf leaves out a search that has one result.
func oneOf(load uint32, f []step) target {
	f = slices.DeleteFunc(f, func(s step) bool { return s.from > math.MaxUint32 })
	if len(f) == 1 {
		return f[0].to
	}
	return &search{load, f}
}

func valueAt(f []step, v uint64) target {
	i, found := slices.BinarySearchFunc(f, v, func(s step, v uint64) int {
		switch {
		case s.from < v:
			return -1
		case s.from > v:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return f[i].to
}
