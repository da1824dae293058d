package seccomp

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestRandomAgainstLibseccomp compares profiles that nobody thought of, in which
// at most one rule of a call holds, or several of one action.
func TestRandomAgainstLibseccomp(t *testing.T) {
	c := newComparison(t)
	r := rand.New(rand.NewPCG(1, seed(t)))
	for range 100 {
		p := c.random(r, c.plainRules)
		for _, goarch := range []string{"amd64", "arm64"} {
			c.compare(t, p, goarch)
		}
	}
	c.report(t)
	if n := c.apart[orderApart] + c.apart[noRuleApart]; n > 0 || c.refused > 0 {
		t.Errorf("%d verdicts are not those of a rule that holds, %d profiles are refused", n, c.refused)
	}
}

// TestWildAgainstLibseccomp compares profiles whose rules overlap at random.
func TestWildAgainstLibseccomp(t *testing.T) {
	c := newComparison(t)
	r := rand.New(rand.NewPCG(2, seed(t)))
	for range 100 {
		p := c.random(r, c.wildRules)
		for _, goarch := range []string{"amd64", "arm64"} {
			c.compare(t, p, goarch)
		}
	}
	c.report(t)
	if n := c.apart[noRuleApart]; n*1000 > c.calls {
		t.Errorf("in %d of %d calls libseccomp is held to be wrong", n, c.calls)
	}
}

// seed is fixed, so that a failure comes again; BERTH_SECCOMP_SEED tries others.
func seed(t *testing.T) (n uint64) {
	if s := os.Getenv("BERTH_SECCOMP_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

var (
	randomActs = []specs.LinuxSeccompAction{
		specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActTrap, specs.ActTrace, specs.ActLog, specs.ActErrno, specs.ActAllow,
	}
	randomOps = []specs.LinuxSeccompOperator{
		specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
	}
)

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// random makes a profile of calls that both compilers know.
func (c *comparison) random(r *rand.Rand, rules func(*rand.Rand, []string) []specs.LinuxSyscall) *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{DefaultAction: pick(r, randomActs)}
	for _, a := range allArchs {
		if r.IntN(4) > 0 {
			p.Architectures = append(p.Architectures, a)
		}
	}
	names := append(strings.Fields("socket shmget clone no_such_call")[r.IntN(4):][:1], "getpid")
	for range 1 + r.IntN(40) {
		names = append(names, pick(r, c.usable))
	}
	// Without one such rule libseccomp's filter of 386 may compare the architecture.
	p.Syscalls = append(rules(r, names), randomAct(r, "read"))
	return p
}

// randomAct is a rule without conditions.
func randomAct(r *rand.Rand, names ...string) specs.LinuxSyscall {
	s := specs.LinuxSyscall{Names: names, Action: pick(r, randomActs)}
	if (s.Action == specs.ActErrno || s.Action == specs.ActTrace) && r.IntN(2) == 0 {
		s.ErrnoRet = ptr(uint(r.IntN(140)))
	}
	return s
}

// plainRules gives each name a rule without conditions, one of several, or some
// of one each, on one argument. These only compare for equality: of two orders
// libseccomp 2.5 forgets one (with arg < 4 and arg < 1<<35, 8 does not match). The
// calls are those that all ABIs have: after the rule of a call that one has not,
// libseccomp may compare the architecture in place of the number.
func (c *comparison) plainRules(r *rand.Rand, names []string) (all []specs.LinuxSyscall) {
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name == "socketcall" || name == "ipc" {
			continue // their rules overlap those of the calls by this way
		}
		if i, ok := rowOf(name); !ok || slices.Min(syscalls[i].nr[:]) < 0 {
			continue
		}
		index, rule := r.Perm(6), randomAct(r, name)
		switch r.IntN(4) {
		case 0:
			for i := range 1 + r.IntN(3) {
				rule.Args = append(rule.Args, randomArg(r, index[i]))
			}
		case 1:
			for range 1 + r.IntN(3) {
				rule.Args = []specs.LinuxSeccompArg{randomEqual(r, index[0])}
				all = append(all, rule)
			}
			continue
		case 2:
			rule.Args = append(rule.Args, randomEqual(r, index[0]), randomEqual(r, index[0]))
		}
		all = append(all, rule)
	}
	return all
}

func (c *comparison) wildRules(r *rand.Rand, names []string) (all []specs.LinuxSyscall) {
	one := randomAct(r)
	for range 1 + r.IntN(25) {
		s := one // so that most rules that hold at once agree
		if r.IntN(3) == 0 {
			s = randomAct(r)
		}
		for range 1 + r.IntN(6) {
			s.Names = append(s.Names, pick(r, names))
		}
		for range r.IntN(2) * (1 + r.IntN(3)) {
			s.Args = append(s.Args, randomArg(r, r.IntN(6)))
		}
		all = append(all, s)
	}
	return all
}

func randomEqual(r *rand.Rand, index int) specs.LinuxSeccompArg {
	a := randomArg(r, index)
	a.Op = specs.OpEqualTo
	return a
}

func randomArg(r *rand.Rand, index int) specs.LinuxSeccompArg {
	value := func() uint64 {
		v := uint64(r.IntN(9))
		switch r.IntN(6) {
		case 0:
			v = r.Uint64() >> r.IntN(64)
		case 1:
			v <<= r.IntN(64)
		case 2:
			v |= v << 32
		case 3:
			v = -v
		}
		return v
	}
	return arg(uint(index), pick(r, randomOps), value(), value())
}
