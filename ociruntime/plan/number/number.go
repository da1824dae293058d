// Package number knows the kernel's numbers for the names and lists of the OCI
// runtime spec: limits, scheduling, memory policies, sets of CPUs.
//
// Level: R.
// Owns: these names and what they stand for.
// May import: internal/linux.
// Must not know: system calls, containers.
package number

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rlimits are the RLIMIT_ numbers of setrlimit(2) in order, the same on amd64
// and arm64.
var rlimits = []string{
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}

// RlimitNofile is the limit of open files.
const RlimitNofile = 7

// Rlimits lists the names of limits.
func Rlimits() []string { return slices.Clone(rlimits) }

// Rlimit is the number of a limit; false if there is none of the name.
func Rlimit(name string) (int, bool) {
	i := slices.Index(rlimits, name)
	return i, i >= 0
}

// Sched is struct sched_attr (sched_setattr(2)).
func Sched(s *specs.Scheduler) ([]byte, error) {
	policies := []specs.LinuxSchedulerPolicy{ // in the order of their numbers
		specs.SchedOther, specs.SchedFIFO, specs.SchedRR, specs.SchedBatch, specs.SchedISO, specs.SchedIdle, specs.SchedDeadline,
	}
	policy := slices.Index(policies, s.Policy)
	if policy < 0 {
		return nil, fmt.Errorf("process.scheduler has unknown policy %q", s.Policy)
	}
	flags := uint64(0)
	for _, f := range s.Flags {
		bit := slices.Index(schedulerFlags, f)
		if bit < 0 {
			return nil, fmt.Errorf("process.scheduler has unknown flag %q", f)
		}
		flags |= 1 << bit
	}
	const size = 56 // with the clamps, which stay 0
	le := binary.LittleEndian
	attr := le.AppendUint32(le.AppendUint32(nil, size), uint32(policy))
	attr = le.AppendUint64(attr, flags)
	attr = le.AppendUint32(le.AppendUint32(attr, uint32(s.Nice)), uint32(s.Priority))
	for _, ns := range []uint64{s.Runtime, s.Deadline, s.Period, 0} {
		attr = le.AppendUint64(attr, ns)
	}
	return attr, nil
}

// schedulerFlags are bit by bit.
var schedulerFlags = []specs.LinuxSchedulerFlag{
	specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
	specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
}

// SchedulerFlags lists the flags of process.scheduler.
func SchedulerFlags() []specs.LinuxSchedulerFlag { return slices.Clone(schedulerFlags) }

// IOPriority is what ioprio_set(2) takes.
func IOPriority(p *specs.LinuxIOPriority) (uint64, error) {
	classes := []specs.IOPriorityClass{"", specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE}
	class := slices.Index(classes, p.Class)
	if class < 1 {
		return 0, fmt.Errorf("process.ioPriority has unknown class %q", p.Class)
	}
	if p.Priority < 0 || p.Priority > 7 {
		return 0, fmt.Errorf("process.ioPriority has priority %d: 0 to 7 are possible", p.Priority)
	}
	return uint64(class<<13 | p.Priority), nil
}

// Personality is what personality(2) takes.
func Personality(p *specs.LinuxPersonality) (uint64, error) {
	if len(p.Flags) > 0 {
		return 0, fmt.Errorf("linux.personality has flag %q: the spec has none yet", p.Flags[0])
	}
	switch p.Domain {
	case specs.PerLinux:
		return 0, nil
	case specs.PerLinux32:
		return linux.PerLinux32, nil
	}
	return 0, fmt.Errorf("linux.personality has unknown domain %q", p.Domain)
}

// memoryPolicies are the modes of set_mempolicy(2) in order.
var memoryPolicies = []specs.MemoryPolicyModeType{
	specs.MpolDefault, specs.MpolPreferred, specs.MpolBind, specs.MpolInterleave, specs.MpolLocal, specs.MpolPreferredMany, specs.MpolWeightedInterleave,
}

// MemoryPolicies lists the modes of memory policies.
func MemoryPolicies() []specs.MemoryPolicyModeType { return slices.Clone(memoryPolicies) }

// MemoryPolicyFlags lists the flags of memory policies.
func MemoryPolicyFlags() []specs.MemoryPolicyFlagType {
	return []specs.MemoryPolicyFlagType{specs.MpolFNumaBalancing, specs.MpolFRelativeNodes, specs.MpolFStaticNodes}
}

// MemoryPolicy is the mode with its flags and the set of nodes of set_mempolicy(2).
func MemoryPolicy(p *specs.LinuxMemoryPolicy) (mode uint64, nodes []byte, err error) {
	i := slices.Index(memoryPolicies, p.Mode)
	if i < 0 {
		return 0, nil, fmt.Errorf("linux.memoryPolicy has unknown mode %q", p.Mode)
	}
	mode = uint64(i)
	for _, f := range p.Flags {
		switch f {
		case specs.MpolFNumaBalancing:
			mode |= linux.MpolFNumaBalancing
		case specs.MpolFRelativeNodes:
			mode |= linux.MpolFRelativeNodes
		case specs.MpolFStaticNodes:
			mode |= linux.MpolFStaticNodes
		default:
			return 0, nil, fmt.Errorf("linux.memoryPolicy has unknown flag %q", f)
		}
	}
	if nodes, err = Set(p.Nodes); err != nil {
		return 0, nil, fmt.Errorf("linux.memoryPolicy.nodes: %w", err)
	}
	return mode, nodes, nil
}

// maxSet is above the number of CPUs and of memory nodes of any kernel.
const maxSet = 8192

// Set is the bit mask of a list such as "0-3,7", in whole 64-bit words.
func Set(list string) ([]byte, error) {
	var words []uint64
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(low, 10, 16)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(high, 10, 16)
		}
		if err != nil || last < first || last >= maxSet {
			return nil, fmt.Errorf("%q in list %q is no number or range below %d", part, list, maxSet)
		}
		for n := first; n <= last; n++ {
			for uint64(len(words)) <= n/64 {
				words = append(words, 0)
			}
			words[n/64] |= 1 << (n % 64)
		}
	}
	var mask []byte
	for _, w := range words {
		mask = binary.LittleEndian.AppendUint64(mask, w)
	}
	return mask, nil
}
