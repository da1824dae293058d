package seccomp

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

// data is struct seccomp_data.
type data struct {
	nr, arch uint32
	args     [6]uint64
}

func (d data) packet() []byte {
	b := make([]byte, 64)
	binary.BigEndian.PutUint32(b[offNr:], d.nr)
	binary.BigEndian.PutUint32(b[offArch:], d.arch)
	for i, a := range d.args {
		binary.BigEndian.PutUint32(b[offArg(uint(i), false):], uint32(a))
		binary.BigEndian.PutUint32(b[offArg(uint(i), true):], uint32(a>>32))
	}
	return b
}

// naive evaluates a profile by reading it from top to bottom, sharing no code
// with the compiler but the tables and the values of actions.
func naive(t testing.TB, p *specs.LinuxSeccomp, goarch string, d data) action {
	t.Helper()
	dflt, err := actionOf(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		t.Fatal(err)
	}
	b, ok := abiOfCall(p, goarch, d)
	if !ok {
		return retKillThread
	}
	if b == amd64 && d.nr == ^uint32(0) {
		return dflt // its bit 30 keeps runc's ENOSYS away
	}
	if permissive(p) || !isNew(p, b, d.nr) {
		return firstMatch(t, p, dflt, b, d)
	}
	return retENOSYS
}

func permissive(p *specs.LinuxSeccomp) bool {
	return slices.Contains([]specs.LinuxSeccompAction{specs.ActAllow, specs.ActLog, specs.ActTrace}, p.DefaultAction)
}

func abiOfCall(p *specs.LinuxSeccomp, goarch string, d data) (abi, bool) {
	listed := func(a specs.Arch) bool { return slices.Contains(p.Architectures, a) }
	switch {
	case goarch == "amd64" && d.arch == auditAMD64:
		switch {
		case listed(specs.ArchX32) && d.nr&x32Bit != 0:
			return x32, true
		case listed(specs.ArchX32), d.nr < x32Bit, d.nr == ^uint32(0):
			return amd64, true
		case d.nr&x32Bit == 0 && isNew(p, amd64, d.nr):
			// Neither ABI's. runc's ENOSYS goes first; libseccomp's kill is next.
			return amd64, !permissive(p)
		}
		return 0, false
	case goarch == "amd64" && d.arch == audit386:
		return x86, listed(specs.ArchX86)
	case goarch == "arm64" && d.arch == auditARM64:
		return arm64, true
	case goarch == "arm64" && d.arch == auditARM:
		return arm, listed(specs.ArchARM)
	}
	return 0, false
}

// isNew reports that nr is above all numbers named, among those that count.
func isNew(p *specs.LinuxSeccomp, b abi, nr uint32) bool {
	ordinary := false
	for _, c := range p.Syscalls {
		for _, name := range c.Names {
			n, ok := b.number(name)
			if !ok {
				continue
			}
			apart := b == x32 && n-x32Bit >= 512 && n-x32Bit <= 547 || b == arm && n >= 0xf0000
			if n == nr || !apart && n > nr {
				return false
			}
			ordinary = ordinary || !apart
		}
	}
	return ordinary
}

// firstMatch collects the rules of the call, then applies them.
func firstMatch(t testing.TB, p *specs.LinuxSeccomp, dflt action, b abi, d data) action {
	t.Helper()
	var all []rule
	rulesOf := func(name string) (rules []rule) {
		for _, c := range p.Syscalls {
			act, err := actionOf(c.Action, c.ErrnoRet)
			if err != nil {
				t.Fatal(err)
			}
			if act == dflt || !slices.Contains(c.Names, name) {
				continue
			}
			seen := map[uint]int{}
			for _, a := range c.Args {
				seen[a.Index]++
			}
			if len(seen) == len(c.Args) {
				rules = append(rules, rule{c.Args, act})
				continue
			}
			for _, a := range c.Args {
				rules = append(rules, rule{[]specs.LinuxSeccompArg{a}, act})
			}
		}
		return rules
	}
	multiplexed := func(name string, index int, mask uint64) {
		which := []specs.LinuxSeccompArg{{Op: specs.OpMaskedEqual, Value: mask, ValueTwo: uint64(index)}}
		rules := rulesOf(name)
		for _, r := range rules {
			if len(r.when) == 0 {
				all = append(all, rule{which, r.act})
				return
			}
		}
		for _, r := range rules {
			// A stricter permission than an allow by default is kept.
			if r.act != retAllow && r.act != retLog && r.act&^0xffff != retTrace || permissive(p) && r.act < dflt {
				all = append(all, rule{which, r.act})
				return
			}
		}
	}
	for _, row := range syscalls {
		if row.nr[b] >= 0 && uint32(row.nr[b]) == d.nr {
			all = append(all, rulesOf(row.name)...)
			if b == x86 && row.name == "socketcall" {
				for i, name := range socketcalls {
					multiplexed(name, i, 1<<32-1)
				}
			}
			if b == x86 && row.name == "ipc" {
				for name, i := range ipcCalls {
					multiplexed(name, i, 1<<16-1)
				}
			}
		}
	}
	for _, r := range all {
		if len(r.when) == 0 {
			return r.act
		}
	}
	for _, r := range all {
		if !slices.ContainsFunc(r.when, func(c specs.LinuxSeccompArg) bool { return !holds(c, d.args[c.Index], b) }) {
			return r.act
		}
	}
	return dflt
}

// socketcalls and ipcCalls are linux/net.h's and linux/ipc.h's numbers.
var (
	socketcalls = strings.Fields(`- socket bind connect listen accept getsockname getpeername socketpair send recv
		sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg`)
	ipcCalls = map[string]int{
		"semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12,
		"msgget": 13, "msgctl": 14, "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
	}
)

func holds(c specs.LinuxSeccompArg, v uint64, b abi) bool {
	want := c.Value
	if b != amd64 && b != arm64 {
		v &= 0xffffffff
		want &= 0xffffffff
		if c.Op == specs.OpMaskedEqual {
			return v&c.Value == c.ValueTwo&c.Value&0xffffffff
		}
	}
	switch c.Op {
	case specs.OpEqualTo:
		return v == want
	case specs.OpNotEqual:
		return v != want
	case specs.OpLessThan:
		return v < want
	case specs.OpLessEqual:
		return v <= want
	case specs.OpGreaterEqual:
		return v >= want
	case specs.OpGreaterThan:
		return v > want
	}
	return v&c.Value == c.ValueTwo&c.Value
}

// interesting are argument values around those that the profile names.
func interesting(p *specs.LinuxSeccomp) []uint64 {
	vals := []uint64{0, 1, 2, 38, 40, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1 << 63, ^uint64(0)}
	for _, c := range p.Syscalls {
		for _, a := range c.Args {
			for _, v := range []uint64{a.Value, a.ValueTwo} {
				vals = append(vals, v-1, v, v+1, ^v, v^1<<32, v&0xffffffff)
			}
		}
	}
	slices.Sort(vals)
	return slices.Compact(vals)
}

// compareAll checks a filter against the naive evaluator for every number of
// every ABI and its neighbours; the arguments vary only where a rule looks at them.
func compareAll(t *testing.T, p *specs.LinuxSeccomp, goarch string) {
	t.Helper()
	f, err := Compile(p, goarch)
	if err != nil {
		t.Fatal(err)
	}
	insns, _ := bpf.Disassemble(f.Insns)
	vm, err := bpf.NewVM(insns)
	if err != nil {
		t.Fatal(err)
	}
	vals := interesting(p)
	numbers := []uint32{0, 700, x32Bit - 1, x32Bit, x32Bit + 700, 1 << 31, 1<<32 - 2, 1<<32 - 1, armPrivate + 9}
	looked := map[string][]uint{"socketcall": {0}, "ipc": {0}}
	argsOf := map[uint32][]uint{}
	for _, c := range p.Syscalls {
		for _, name := range c.Names {
			for _, a := range c.Args {
				looked[name] = append(looked[name], a.Index)
			}
		}
	}
	for _, row := range syscalls {
		for _, nr := range row.nr {
			if nr >= 0 {
				numbers = append(numbers, uint32(nr))
				argsOf[uint32(nr)] = append(argsOf[uint32(nr)], looked[row.name]...)
			}
		}
	}
	slices.Sort(numbers)
	for _, arch := range []uint32{auditAMD64, audit386, auditARM64, auditARM, 0, 0xc0000015} {
		for _, nr := range slices.Compact(slices.Clone(numbers)) {
			try := func(d data) {
				n, err := vm.Run(d.packet())
				if err != nil {
					t.Fatal(err)
				}
				if want := naive(t, p, goarch, d); action(uint32(n)) != want {
					t.Fatalf("%s, %+v: got %#x, want %#x", goarch, d, uint32(n), uint32(want))
				}
			}
			try(data{nr: nr, arch: arch})
			for _, i := range slices.Compact(slices.Sorted(slices.Values(argsOf[nr]))) {
				for _, v := range vals {
					d := data{nr: nr, arch: arch}
					d.args[i] = v
					try(d)
				}
			}
		}
	}
}
