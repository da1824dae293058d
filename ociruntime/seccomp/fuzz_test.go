package seccomp

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzProfiles makes profiles of bytes and compares the filter with the naive
// evaluator, for the calls that the rules name and some others.
func FuzzProfiles(f *testing.F) {
	f.Add([]byte{0, 7, 0, 1, 2, 0, 4, 9, 1})
	f.Add([]byte{3, 255, 1, 4, 6, 1, 7, 255, 3, 5, 2, 2, 1, 1, 0, 0, 6, 3, 1, 1, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := profileOf(b)
		for _, arch := range []string{"amd64", "arm64"} {
			compareAll(t, p, arch)
		}
	})
}

// profileOf reads a small valid profile.
func profileOf(b []byte) *specs.LinuxSeccomp {
	next := func() int {
		if len(b) == 0 {
			return 0
		}
		n := int(b[0])
		b = b[1:]
		return n
	}
	acts := []specs.LinuxSeccompAction{
		specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess,
		specs.ActTrap, specs.ActTrace, specs.ActLog,
	}
	archs := []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM}
	names := []string{
		"read", "write", "openat", "clone", "socket", "bind", "socketcall", "ipc", "shmget", "readv", "execve",
		"sync_file_range2", "arm_sync_file_range", "cacheflush", "set_tls", "mseal", "no_such_call",
	}
	ops := []specs.LinuxSeccompOperator{
		specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
	}
	value := func() uint64 {
		v := uint64(next())
		switch next() % 4 {
		case 1:
			v <<= 28 // both halves
		case 2:
			v <<= 32
		case 3:
			v = -v
		}
		return v
	}
	p := &specs.LinuxSeccomp{DefaultAction: acts[next()%len(acts)]}
	for i, listed := 0, next(); i < len(archs); i++ {
		if listed&(1<<i) != 0 {
			p.Architectures = append(p.Architectures, archs[i])
		}
	}
	for len(b) > 0 && len(p.Syscalls) < 12 {
		c := specs.LinuxSyscall{Names: []string{names[next()%len(names)]}, Action: acts[next()%len(acts)]}
		if n := next(); n%3 == 1 {
			c.Names = append(c.Names, names[n%len(names)])
		}
		for range next() % 4 {
			c.Args = append(c.Args, arg(uint(next()%6), ops[next()%len(ops)], value(), value()))
		}
		p.Syscalls = append(p.Syscalls, c)
	}
	return p
}
