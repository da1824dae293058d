package seccomp

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mobyseccomp "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// defaultProfile is Docker's for a container without capabilities of note.
func defaultProfile(t testing.TB) *specs.LinuxSeccomp {
	t.Helper()
	p, err := mobyseccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_SYS_CHROOT", "CAP_NET_RAW"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM}
	return p
}

func TestDefaultProfileGolden(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			f, err := Compile(defaultProfile(t), arch)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "default-"+arch+".bpf")
			got := disassemble(f)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
			}
		})
	}
}

// disassemble prints a filter with the targets of its jumps.
func disassemble(f Filter) string {
	var b strings.Builder
	fmt.Fprintf(&b, "flags %#x\n", f.Flags)
	for i, in := range f.Insns {
		at := func(off uint32) int { return i + 1 + int(off) }
		fmt.Fprintf(&b, "%4d ", i)
		switch in.Op {
		case opLoad:
			fmt.Fprintf(&b, "load %s\n", wordName(in.K))
		case opAnd:
			fmt.Fprintf(&b, "and  %#x\n", in.K)
		case opReturn:
			fmt.Fprintf(&b, "ret  %#x\n", in.K)
		case jumpAlways:
			fmt.Fprintf(&b, "goto %d\n", at(in.K))
		case jumpEqual, jumpAtLeast, jumpAnyBit:
			op := map[uint16]string{jumpEqual: "==", jumpAtLeast: ">=", jumpAnyBit: "&"}[in.Op]
			fmt.Fprintf(&b, "if   %s %#x goto %d else %d\n", op, in.K, at(uint32(in.Jt)), at(uint32(in.Jf)))
		default:
			fmt.Fprintf(&b, "unknown %+v\n", in)
		}
	}
	return b.String()
}

func wordName(offset uint32) string {
	switch {
	case offset == offNr:
		return "nr"
	case offset == offArch:
		return "arch"
	case offset >= offArgs:
		return fmt.Sprintf("arg%d.%s", (offset-offArgs)/8, []string{"low", "high"}[(offset-offArgs)%8/4])
	}
	return fmt.Sprint(offset)
}

func TestDefaultProfileAgainstNaive(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) { compareAll(t, defaultProfile(t), arch) })
	}
}

func TestProfilesAgainstNaive(t *testing.T) {
	for name, p := range testProfiles {
		for _, arch := range []string{"amd64", "arm64"} {
			t.Run(name+"/"+arch, func(t *testing.T) { compareAll(t, p, arch) })
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	write := call(specs.ActNotify, "write")
	for name, c := range map[string]struct {
		p    specs.LinuxSeccomp
		want string
	}{
		"no default":       {specs.LinuxSeccomp{Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "read")}}, `unknown seccomp action ""`},
		"no name":          {specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "")}}, `names a call ""`},
		"trace too high":   {specs.LinuxSeccomp{DefaultAction: specs.ActTrace, DefaultErrnoRet: ptr(uint(65536))}, "above 65535"},
		"unknown action":   {specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_X"}, `"SCMP_ACT_X"`},
		"notify default":   {specs.LinuxSeccomp{DefaultAction: specs.ActNotify}, "cannot be the default"},
		"notify on write":  {specs.LinuxSeccomp{DefaultAction: specs.ActErrno, ListenerPath: "/x", Syscalls: []specs.LinuxSyscall{write}}, "cannot be used for write"},
		"notify, nowhere":  {specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{call(specs.ActNotify, "read")}}, "needs a listenerPath"},
		"errno of allow":   {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, DefaultErrnoRet: ptr(uint(1))}, "takes no errnoRet"},
		"errno too high":   {specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: ptr(uint(4096))}, "above 4095"},
		"unknown arch":     {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"VAX"}}, `unknown architecture "VAX"`},
		"unknown flag":     {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"X"}}, `unknown seccomp flag "X"`},
		"unknown operator": {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{call(specs.ActErrno, "no_such_call", arg(0, "==", 1, 0))}}, `unknown operator "=="`},
		"argument index":   {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{call(specs.ActErrno, "read", arg(6, specs.OpEqualTo, 1, 0))}}, "index 6"},
		"too long":         {tooLong(1000), "the kernel takes 4096"},
		"far too long":     {tooLong(maxInsns + 1), "has 4097 rules for read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(&c.p, "amd64")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, "vax"); err == nil {
		t.Error("vax: no error")
	}
}

// tooLong has more rules of several arguments than fit.
func tooLong(rules uint64) specs.LinuxSeccomp {
	p := specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	for i := range rules {
		p.Syscalls = append(p.Syscalls, call(specs.ActAllow, "read", arg(0, specs.OpEqualTo, i, 0), arg(1, specs.OpEqualTo, i, 0)))
	}
	return p
}

// TestFarJumps has rules so long that the jumps over them do not fit 8 bits.
func TestFarJumps(t *testing.T) {
	p := tooLong(200)
	for _, name := range []string{"write", "openat", "fork"} {
		for i := range uint64(40) {
			p.Syscalls = append(p.Syscalls, call(specs.ActTrap, name, arg(2, specs.OpMaskedEqual, 0xfff0, i<<4)))
		}
	}
	compareAll(t, &p, "amd64")
}

func TestFlags(t *testing.T) {
	for name, c := range map[string]struct {
		flags  []specs.LinuxSeccompFlag
		notify bool
		want   uint
	}{
		"none given":       {nil, false, FlagSpecAllow},
		"none wanted":      {[]specs.LinuxSeccompFlag{}, false, 0},
		"log and tsync":    {[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, "SECCOMP_FILTER_FLAG_TSYNC"}, false, FlagLog},
		"without listener": {[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}, false, 0},
		"listener":         {[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}, true, FlagWaitKillableRecv | FlagNewListener},
	} {
		t.Run(name, func(t *testing.T) {
			p := specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: c.flags, ListenerPath: "/run/x.sock"}
			if c.notify {
				p.Syscalls = []specs.LinuxSyscall{call(specs.ActNotify, "mkdir")}
			}
			f, err := Compile(&p, "amd64")
			if err != nil || f.Flags != c.want {
				t.Errorf("got %#x, %v, want %#x", f.Flags, err, c.want)
			}
		})
	}
}

func TestCache(t *testing.T) {
	var c Cache
	first, err := c.Compile(defaultProfile(t), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Compile(defaultProfile(t), "amd64")
	if err != nil || &again.Insns[0] != &first.Insns[0] {
		t.Errorf("an equal profile is compiled again (%v)", err)
	}
	other := defaultProfile(t)
	other.Syscalls[0].Action = specs.ActLog
	if f, err := c.Compile(other, "amd64"); err != nil || cmp.Equal(f.Insns, first.Insns) {
		t.Errorf("another profile gets the same filter (%v)", err)
	}
	for i := range uint(3 * cacheSize) {
		if _, err := c.Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &i}, "amd64"); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.filters) != cacheSize {
		t.Errorf("the cache holds %d filters, want %d", len(c.filters), cacheSize)
	}
}

// TestDigest changes one thing at a time: no two digests may be equal.
func TestDigest(t *testing.T) {
	seen := map[[32]byte]int{}
	for i, p := range []specs.LinuxSeccomp{
		{},
		{DefaultAction: "a"},
		{DefaultErrnoRet: ptr(uint(0))},
		{DefaultErrnoRet: ptr(uint(1))},
		{Architectures: []specs.Arch{"a"}},
		{Architectures: []specs.Arch{"a", ""}},
		{Flags: []specs.LinuxSeccompFlag{}},
		{Flags: []specs.LinuxSeccompFlag{"a"}},
		{ListenerPath: "a"},
		{Syscalls: []specs.LinuxSyscall{{}}},
		{Syscalls: []specs.LinuxSyscall{{Names: []string{"a", "b"}}}},
		{Syscalls: []specs.LinuxSyscall{{Names: []string{"a"}}, {Names: []string{"b"}}}},
		{Syscalls: []specs.LinuxSyscall{{Names: []string{"ab"}}}},
		{Syscalls: []specs.LinuxSyscall{{Action: "a"}}},
		{Syscalls: []specs.LinuxSyscall{{ErrnoRet: ptr(uint(0))}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{}}}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{Index: 1}}}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{Value: 1}}}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{ValueTwo: 1}}}}},
		{Syscalls: []specs.LinuxSyscall{{Args: []specs.LinuxSeccompArg{{Op: "a"}}}}},
	} {
		key := digest(&p, "amd64")
		if j, ok := seen[key]; ok {
			t.Errorf("profiles %d and %d have one digest", i, j)
		}
		seen[key] = i
	}
	if digest(&specs.LinuxSeccomp{}, "amd64") == digest(&specs.LinuxSeccomp{}, "arm64") {
		t.Error("both architectures have one digest")
	}
}

func BenchmarkCache(b *testing.B) {
	var c Cache
	p := defaultProfile(b)
	for b.Loop() {
		if _, err := c.Compile(p, "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	p := defaultProfile(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(p, "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}
