package seccomp

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// abi is a column of the table of system calls.
type abi int

const (
	amd64 abi = iota
	x32
	x86
	arm64
	arm
	abis int = iota
)

// A call's number above these is outside the common numbering, in which newer
// calls have higher numbers.
const (
	x32Bit     = 1 << 30 // set in every x32 call
	x32Own     = x32Bit | 512
	armPrivate = 0xf0000
)

// AUDIT_ARCH_* (linux/audit.h), as the kernel puts them in seccomp_data.arch.
const (
	auditAMD64 = 0xc000003e
	audit386   = 0x40000003
	auditARM64 = 0xc00000b7
	auditARM   = 0x40000028
)

// syscallRow is a name and its number in each abi, -1 where there is none.
type syscallRow struct {
	name string
	nr   [abis]int32
}

// rowOf finds the row of a call; false if no abi has it.
func rowOf(name string) (int, bool) {
	return slices.BinarySearchFunc(syscalls[:], name, func(r syscallRow, name string) int {
		return strings.Compare(r.name, name)
	})
}

// number looks up a call of the abi by name.
func (a abi) number(name string) (uint32, bool) {
	i, ok := rowOf(name)
	if !ok || syscalls[i].nr[a] < 0 {
		return 0, false
	}
	return uint32(syscalls[i].nr[a]), true
}

// wide reports whether all 64 bits of the abi's arguments are compared. On 386
// and arm the kernel gives them zero-extended. An x32 call has 64-bit registers,
// but the kernel takes most of its arguments for 32 bits wide: to look at more
// would let what is denied pass with a bit set that does not count.
func (a abi) wide() bool { return a == amd64 || a == arm64 }

// machine is what one kernel can run: entries by the value of seccomp_data.arch,
// each with the ABIs that share it. The first is the native one.
type machine []entry

type entry struct {
	audit uint32
	abis  []abi
}

// machineOf keeps of an architecture's entries those that the profile lists.
// The native ABI is always among them; architectures that this kernel cannot
// run are left out, as no call can carry them.
func machineOf(goarch string, listed []specs.Arch) (machine, error) {
	for _, a := range listed {
		if !slices.Contains(knownArchs, a) {
			return nil, fmt.Errorf("unknown architecture %q in the seccomp profile", a)
		}
	}
	has := func(a specs.Arch) bool { return slices.Contains(listed, a) }
	switch goarch {
	case "amd64":
		m := machine{{auditAMD64, []abi{amd64}}}
		if has(specs.ArchX32) {
			m[0].abis = append(m[0].abis, x32)
		}
		if has(specs.ArchX86) {
			m = append(m, entry{audit386, []abi{x86}})
		}
		return m, nil
	case "arm64":
		m := machine{{auditARM64, []abi{arm64}}}
		if has(specs.ArchARM) {
			m = append(m, entry{auditARM, []abi{arm}})
		}
		return m, nil
	}
	return nil, fmt.Errorf("no system call table for architecture %q", goarch)
}

// knownArchs are the architectures of the OCI runtime spec.
var knownArchs = []specs.Arch{
	specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64,
	specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
	specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X,
	specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
}
