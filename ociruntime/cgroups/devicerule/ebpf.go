package devicerule

import "berth/internal/linux"

// The eBPF instructions that a device program is made of (linux/bpf.h,
// Documentation/bpf/standardization/instruction-set.rst).
const (
	bpfLoadWord = 0x61 // dst = *(u32 *)(src + offset)
	bpfAnd      = 0x54 // dst &= immediate, 32 bits
	bpfShift    = 0x74 // dst >>= immediate, 32 bits
	bpfMove     = 0xb4 // dst = immediate, 32 bits
	bpfCopy     = 0xbc // dst = src, 32 bits
	bpfJumpEq   = 0x15 // if dst == immediate, skip offset instructions
	bpfJumpNe   = 0x55
	bpfExit     = 0x95 // return register 0: 1 allows, 0 denies
)

// Registers: what the kernel passes (struct bpf_cgroup_dev_ctx: access and
// kind in one word, major, minor), taken apart.
const (
	regResult = iota
	regContext
	regKind
	regAccess // what is not yet allowed of the access asked for
	regMajor
	regMinor
	regScratch
)

// kinds of devices as the kernel passes them (BPF_DEVCG_DEV_*).
var bpfKind = map[byte]int32{'b': 1, 'c': 2}

func ins(code, dst, src uint8, offset int16, immediate int32) linux.BPFInstruction {
	return linux.BPFInstruction{Code: code, Registers: dst | src<<4, Offset: offset, Immediate: immediate}
}

// V2 turns the rules into a program for cgroup v2 that walks them from the last to
// the first. An allowing rule takes its access off what is asked for and the
// program allows when nothing is left; a denying one denies if something it
// covers is left. Without a rule that decides, the access is allowed.
func V2(rules []Rule) []linux.BPFInstruction {
	program := []linux.BPFInstruction{
		ins(bpfLoadWord, regAccess, regContext, 0, 0),
		ins(bpfCopy, regKind, regAccess, 0, 0),
		ins(bpfAnd, regKind, 0, 0, 0xffff),
		ins(bpfShift, regAccess, 0, 0, 16),
		ins(bpfLoadWord, regMajor, regContext, 4, 0),
		ins(bpfLoadWord, regMinor, regContext, 8, 0),
	}
	for i := len(rules) - 1; i >= 0; i-- {
		part := compileRule(rules[i])
		program = append(program, part...)
		if rules[i].nodes == everything && rules[i].access == allAccess {
			return program // it decides for all: what comes after is unreachable, which the verifier refuses
		}
	}
	return append(program, decide(true)...)
}

func decide(allow bool) []linux.BPFInstruction {
	result := int32(0)
	if allow {
		result = 1
	}
	return []linux.BPFInstruction{ins(bpfMove, regResult, 0, 0, result), ins(bpfExit, 0, 0, 0, 0)}
}

// compileRule returns the instructions of one rule, to be left at the end if it does not decide.
func compileRule(r Rule) []linux.BPFInstruction {
	var tests, effect []linux.BPFInstruction
	if r.kind != 'a' {
		tests = append(tests, ins(bpfJumpNe, regKind, 0, 0, bpfKind[r.kind]))
	}
	if r.major != wildcard {
		tests = append(tests, ins(bpfJumpNe, regMajor, 0, 0, int32(r.major)))
	}
	if r.minor != wildcard {
		tests = append(tests, ins(bpfJumpNe, regMinor, 0, 0, int32(r.minor)))
	}
	switch {
	case r.access == allAccess:
	case r.allow:
		effect = []linux.BPFInstruction{ins(bpfAnd, regAccess, 0, 0, int32(allAccess&^r.access)), ins(bpfJumpNe, regAccess, 0, 2, 0)}
	default:
		effect = []linux.BPFInstruction{ins(bpfCopy, regScratch, regAccess, 0, 0), ins(bpfAnd, regScratch, 0, 0, int32(r.access)), ins(bpfJumpEq, regScratch, 0, 2, 0)}
	}
	effect = append(effect, decide(r.allow)...)
	for i := range tests { // a test that fails skips the rest of the rule
		tests[i].Offset = int16(len(tests) - 1 - i + len(effect))
	}
	return append(tests, effect...)
}
