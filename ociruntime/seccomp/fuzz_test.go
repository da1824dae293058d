package seccomp

import (
	"encoding/json"
	"reflect"
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

// FuzzProfileJSON compiles what stands as linux.seccomp in config.json: whatever
// it is, the result is an error or a program that the kernel takes, always the same.
func FuzzProfileJSON(f *testing.F) {
	for _, p := range testProfiles {
		b, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`null`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86"],"flags":[],"listenerPath":"/x",` +
		`"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY","args":[{"index":5,"value":18446744073709551615,"op":"SCMP_CMP_GE"}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, arch := range []string{"amd64", "arm64"} {
			got, err := compileRaw(raw, arch)
			if err != nil || len(got.Insns) == 0 {
				continue
			}
			mustBeProgram(t, got)
			again, err := compileRaw(raw, arch)
			if err != nil || !reflect.DeepEqual(got, again) {
				t.Fatalf("another time: %v, %v, not %v", again, err, got)
			}
			var key [32]byte
			if back, ok := decodeFilter(key, encodeFilter(key, got)); !ok || !reflect.DeepEqual(got, back) {
				t.Fatalf("from a cache: %v, %t, not %v", back, ok, got)
			}
		}
	})
}

// mustBeProgram checks what the kernel does before it takes a program (kernel/seccomp.c,
// seccomp_check_filter, and net/core/filter.c, bpf_check_classic).
func mustBeProgram(t *testing.T, f Filter) {
	t.Helper()
	if len(f.Insns) > maxInsns || f.Insns[len(f.Insns)-1].Op != opReturn {
		t.Fatalf("%d instructions, the last %+v", len(f.Insns), f.Insns[len(f.Insns)-1])
	}
	for i, in := range f.Insns {
		to := func(off uint32) bool { return int64(i)+1+int64(off) < int64(len(f.Insns)) }
		ok := false
		switch in.Op {
		case opLoad:
			ok = in.K < 64 && in.K%4 == 0
		case opAnd, opReturn:
			ok = true
		case jumpAlways:
			ok = to(in.K)
		case jumpEqual, jumpAtLeast, jumpAnyBit:
			ok = to(uint32(in.Jt)) && to(uint32(in.Jf))
		}
		if !ok {
			t.Fatalf("instruction %d: %+v", i, in)
		}
	}
	if all := FlagLog | FlagSpecAllow | FlagNewListener | FlagWaitKillableRecv; f.Flags&^all != 0 {
		t.Fatalf("flags %#x", f.Flags)
	}
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
