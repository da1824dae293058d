package seccomp

import (
	"bytes"
	"encoding/binary"
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
func without(t *testing.T, pkg string) {
	t.Helper()
	if os.Getenv("BERTH_TEST_ROOT") != "" {
		t.Fatalf("needs %s: apt-get install %s", pkg, pkg)
	}
	t.Skipf("needs %s", pkg)
}

func newLibseccomp(t *testing.T) libseccomp {
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

func (l libseccomp) run(t *testing.T, input string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(l.program, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	return out
}

// compile does what runc does with a profile before it adds its ENOSYS.
func (l libseccomp) compile(t *testing.T, p *specs.LinuxSeccomp, optimize int) Filter {
	t.Helper()
	s, err := readProfile(p)
	if err != nil {
		t.Fatal(err)
	}
	ops := map[specs.LinuxSeccompOperator]int{
		specs.OpNotEqual: 1, specs.OpLessThan: 2, specs.OpLessEqual: 3, specs.OpEqualTo: 4,
		specs.OpGreaterEqual: 5, specs.OpGreaterThan: 6, specs.OpMaskedEqual: 7,
	}
	var in strings.Builder
	fmt.Fprintf(&in, "default %d optimize %d ", s.dflt, optimize)
	for _, a := range p.Architectures {
		if a == specs.ArchX86 || a == specs.ArchX32 {
			fmt.Fprintf(&in, "arch %s ", strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_")))
		}
	}
	for _, c := range p.Syscalls {
		act, err := actionOf(c.Action, c.ErrnoRet)
		if err != nil {
			t.Fatal(err)
		}
		if act == s.dflt {
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
	out := l.run(t, in.String())
	var f Filter
	for ; len(out) >= 8; out = out[8:] {
		f.Insns = append(f.Insns, bpf.RawInstruction{
			Op: binary.LittleEndian.Uint16(out), Jt: out[2], Jf: out[3], K: binary.LittleEndian.Uint32(out[4:]),
		})
	}
	return f
}

// numbers asks for the numbers of every name that berth has.
func (l libseccomp) numbers(t *testing.T) map[string][]int32 {
	t.Helper()
	var in strings.Builder
	for _, row := range syscalls {
		fmt.Fprintln(&in, row.name)
	}
	all := make(map[string][]int32)
	for line := range strings.Lines(string(l.run(t, in.String(), "names"))) {
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

// TestFiltersAgainstLibseccomp runs both filters for every number that both know.
func TestFiltersAgainstLibseccomp(t *testing.T) {
	l := newLibseccomp(t)
	theirNumbers := l.numbers(t)
	profiles := map[string]*specs.LinuxSeccomp{"default": defaultProfile(t)}
	for name, p := range testProfiles {
		profiles[name] = p
	}
	for name, p := range profiles {
		t.Run(name, func(t *testing.T) {
			ours, err := Compile(p, "amd64")
			if err != nil {
				t.Fatal(err)
			}
			theirs := l.compile(t, p, 1)
			run := func(f Filter) func(data) action {
				insns, _ := bpf.Disassemble(f.Insns)
				vm, err := bpf.NewVM(insns)
				if err != nil {
					t.Fatal(err)
				}
				return func(d data) action {
					n, err := vm.Run(d.packet())
					if err != nil {
						t.Fatal(err)
					}
					return action(uint32(n))
				}
			}
			our, their := run(ours), run(theirs)
			compared := 0
			for _, row := range syscalls {
				for _, e := range []struct {
					abi  abi
					arch uint32
				}{{amd64, auditAMD64}, {x32, auditAMD64}, {x86, audit386}} {
					nr := row.nr[e.abi]
					if nr < 0 || theirNumbers[row.name][e.abi] != nr || isNew(p, e.abi, uint32(nr)) {
						continue
					}
					for _, v := range interesting(p) {
						if e.abi != amd64 && v > 1<<32-1 {
							continue // 386 has no such argument, and libseccomp takes x32 for as narrow
						}
						for i := range 3 {
							d := data{nr: uint32(nr), arch: e.arch}
							d.args[i] = v
							compared++
							if got, want := our(d), their(d); got != want {
								t.Fatalf("%s %+v: got %#x, libseccomp %#x", row.name, d, got, want)
							}
						}
					}
				}
			}
			t.Logf("%d calls agree; %d instructions, libseccomp %d", compared, len(ours.Insns), len(theirs.Insns))
		})
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
	list, tree := l.compile(t, p, 1), l.compile(t, p, 2)
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
	b := d.packet()
	var acc uint32
	for pc, n := 0, 1; ; n++ {
		i := f.Insns[pc]
		pc++
		jump := func(yes bool) {
			if yes {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		}
		switch i.Op {
		case opLoad:
			acc = binary.BigEndian.Uint32(b[i.K:])
		case opAnd:
			acc &= i.K
		case opReturn:
			return n
		case jumpAlways:
			pc += int(i.K)
		case jumpEqual:
			jump(acc == i.K)
		case jumpAtLeast:
			jump(acc >= i.K)
		case jumpAnyBit:
			jump(acc&i.K != 0)
		case 0x25: // BPF_JGT, libseccomp's
			jump(acc > i.K)
		default:
			panic(fmt.Sprintf("instruction %+v", i))
		}
	}
}
