package seccomp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

// libseccomp is a program that compiles profiles with the library, where its
// development files are installed (Debian: libseccomp-dev, gcc).
type libseccomp struct{ program string }

// without skips the test, but where make test has installed all it needs.
func without(t testing.TB, pkg string) {
	t.Helper()
	if os.Getenv("BERTH_TEST_ROOT") != "" {
		t.Fatalf("needs %s: apt-get install %s", pkg, pkg)
	}
	t.Skipf("needs %s", pkg)
}

func newLibseccomp(t testing.TB) libseccomp {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("compares on amd64")
	}
	if _, err := os.Stat("/usr/include/seccomp.h"); err != nil {
		without(t, "libseccomp-dev")
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		without(t, "gcc")
	}
	program := filepath.Join(t.TempDir(), "libseccomp")
	if out, err := exec.Command(gcc, "-o", program, "testdata/libseccomp.c", "-lseccomp").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return libseccomp{program}
}

func (l libseccomp) run(input string, args ...string) ([]byte, error) {
	cmd := exec.Command(l.program, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, &stderr)
	}
	return out, nil
}

// compile does what runc does with a profile before it adds its ENOSYS. ok is
// false if the library refuses it for rules of equal conditions.
func (l libseccomp) compile(t testing.TB, p *specs.LinuxSeccomp, goarch string, optimize int) (f Filter, ok bool) {
	t.Helper()
	out, err := l.run(libseccompInput(t, p, goarch, optimize))
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 17 {
		return Filter{}, false
	}
	if err != nil {
		t.Fatal(err)
	}
	for ; len(out) >= 8; out = out[8:] {
		f.Insns = append(f.Insns, bpf.RawInstruction{
			Op: binary.LittleEndian.Uint16(out), Jt: out[2], Jf: out[3], K: binary.LittleEndian.Uint32(out[4:]),
		})
	}
	return f, true
}

// libseccompInput is a profile as the program in testdata reads it.
func libseccompInput(t testing.TB, p *specs.LinuxSeccomp, goarch string, optimize int) string {
	t.Helper()
	dflt, err := actionOf(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		t.Fatal(err)
	}
	ops := map[specs.LinuxSeccompOperator]int{
		specs.OpNotEqual: 1, specs.OpLessThan: 2, specs.OpLessEqual: 3, specs.OpEqualTo: 4,
		specs.OpGreaterEqual: 5, specs.OpGreaterThan: 6, specs.OpMaskedEqual: 7,
	}
	var in strings.Builder
	fmt.Fprintf(&in, "default %d optimize %d ", dflt, optimize)
	others := map[specs.Arch]string{specs.ArchX86: "x86", specs.ArchX32: "x32"}
	if goarch == "arm64" {
		in.WriteString("only aarch64 ")
		others = map[specs.Arch]string{specs.ArchARM: "arm"}
	}
	for _, a := range p.Architectures {
		if name := others[a]; name != "" {
			fmt.Fprintf(&in, "arch %s ", name)
		}
	}
	for _, c := range p.Syscalls {
		act, err := actionOf(c.Action, c.ErrnoRet)
		if err != nil {
			t.Fatal(err)
		}
		if act == dflt {
			continue
		}
		all, err := alternativesOf(c.Args, act)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range c.Names {
			for _, r := range all {
				fmt.Fprintf(&in, "rule %d %s %d ", act, name, len(r.when))
				for _, a := range r.when {
					fmt.Fprintf(&in, "%d %d %d %d ", a.Index, ops[a.Op], a.Value, a.ValueTwo)
				}
			}
		}
	}
	return in.String()
}

// numbers asks for the numbers of every name that berth has.
func (l libseccomp) numbers(t testing.TB) map[string][]int32 {
	t.Helper()
	var in strings.Builder
	for _, row := range syscalls {
		fmt.Fprintln(&in, row.name)
	}
	out, err := l.run(in.String(), "names")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]int32)
	for line := range strings.Lines(string(out)) {
		var name string
		nr := make([]int32, abis)
		if _, err := fmt.Sscan(line, &name, &nr[amd64], &nr[x32], &nr[x86], &nr[arm64], &nr[arm]); err != nil {
			t.Fatal(err)
		}
		all[name] = nr
	}
	return all
}

// TestNumbersAgainstLibseccomp compares the tables for the calls that the
// installed libseccomp knows. Its negative numbers stand for no call.
func TestNumbersAgainstLibseccomp(t *testing.T) {
	theirs := newLibseccomp(t).numbers(t)
	compared := 0
	for _, row := range syscalls {
		for a, nr := range row.nr {
			their := theirs[row.name][a]
			if their == -1 || their < 0 && nr < 0 { // unknown to it, or no such call
				continue
			}
			if their < -100 && nr >= 0 { // it knows the call by the way of socketcall or ipc only
				continue
			}
			compared++
			if their != nr {
				t.Errorf("%s in abi %d: got %d, libseccomp has %d", row.name, a, nr, their)
			}
		}
	}
	if compared < 1500 {
		t.Errorf("only %d numbers compared", compared)
	}
}

// TestInstructionsExecuted measures what a call costs where the kernel runs the filter.
func TestInstructionsExecuted(t *testing.T) {
	l := newLibseccomp(t)
	p := defaultProfile(t)
	ours, err := Compile(p, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	list, _ := l.compile(t, p, "amd64", 1)
	tree, _ := l.compile(t, p, "amd64", 2)
	worst := 0
	for _, row := range syscalls {
		if nr := row.nr[amd64]; nr >= 0 {
			worst = max(worst, steps(ours, data{nr: uint32(nr), arch: auditAMD64, args: [6]uint64{2}}))
		}
	}
	if worst > 20 {
		t.Errorf("a call takes %d instructions", worst)
	}
	t.Logf("instructions: berth %d (at most %d executed), libseccomp %d, its tree %d", len(ours.Insns), worst, len(list.Insns), len(tree.Insns))
	for _, name := range []string{"read", "openat", "mmap", "clone", "socket", "futex", "epoll_pwait2"} {
		nr, _ := amd64.number(name)
		d := data{nr: nr, arch: auditAMD64, args: [6]uint64{2}}
		t.Logf("%-12s berth %2d, libseccomp %3d, its tree %2d", name, steps(ours, d), steps(list, d), steps(tree, d))
	}
}

// steps counts the instructions that a filter executes.
func steps(f Filter, d data) int {
	_, n := execute(f, d)
	return n
}

// execute runs a filter: ours or libseccomp's.
func execute(f Filter, d data) (act action, n int) {
	var acc uint32
	for pc := 0; ; {
		i := f.Insns[pc]
		pc, n = pc+1, n+1
		yes := false
		switch i.Op {
		case opLoad:
			acc = d.word(i.K)
			continue
		case opAnd:
			acc &= i.K
			continue
		case opReturn:
			return action(i.K), n
		case jumpAlways:
			pc += int(i.K)
			continue
		case jumpEqual:
			yes = acc == i.K
		case jumpAtLeast:
			yes = acc >= i.K
		case jumpAnyBit:
			yes = acc&i.K != 0
		case 0x25: // BPF_JGT, libseccomp's
			yes = acc > i.K
		default:
			panic(fmt.Sprintf("instruction %+v", i))
		}
		if yes {
			pc += int(i.Jt)
		} else {
			pc += int(i.Jf)
		}
	}
}

// word is what a filter loads from an offset.
func (d data) word(offset uint32) uint32 {
	switch {
	case offset == offNr:
		return d.nr
	case offset == offArch:
		return d.arch
	case offset < offArgs || offset%4 != 0:
		panic(fmt.Sprintf("load from %d", offset))
	}
	a := d.args[(offset-offArgs)/8]
	if (offset-offArgs)%8 == 4 {
		a >>= 32
	}
	return uint32(a)
}
