package seccomp

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"testing"

	mobyseccomp "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var allArchs = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM}

// dockerCaps are those of a container that asks for none.
var dockerCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// capSets are those that the engines' profiles tell apart, one by one, and all.
func capSets() map[string][]string {
	sets := map[string][]string{"none": nil, "default": dockerCaps}
	var all []string
	for _, c := range []string{
		"CAP_AUDIT_WRITE", "CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_MODULE",
		"CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_SYSLOG",
	} {
		all = append(all, c)
		sets["default and "+c] = append(slices.Clone(dockerCaps), c)
	}
	sets["all"] = append(all, dockerCaps...)
	return sets
}

// engineProfiles are the defaults of Docker, containerd and Podman for every set of capabilities.
func engineProfiles(t *testing.T) map[string]*specs.LinuxSeccomp {
	t.Helper()
	const podman = "/usr/share/containers/seccomp.json"
	body, err := os.ReadFile(podman)
	if err != nil {
		without(t, "golang-github-containers-common")
	}
	all := make(map[string]*specs.LinuxSeccomp)
	for name, caps := range capSets() {
		s := &specs.Spec{Linux: &specs.Linux{}, Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
		if all["moby, "+name], err = mobyseccomp.GetDefaultProfile(s); err != nil {
			t.Fatal(err)
		}
		if all["podman, "+name], err = mobyseccomp.LoadProfile(string(body), s); err != nil {
			t.Fatal(err)
		}
	}
	// What containerd v2.4.2's contrib/seccomp gives for three of these sets:
	// importing it would bring in half of containerd.
	if body, err = os.ReadFile("testdata/containerd.json"); err != nil {
		t.Fatal(err)
	}
	var containerd map[string]*specs.LinuxSeccomp
	if err := json.Unmarshal(body, &containerd); err != nil {
		t.Fatal(err)
	}
	for name, p := range containerd {
		all["containerd, "+name] = p
	}
	return all
}

// TestEnginesAgainstLibseccomp compares the profiles that engines use, on both
// architectures and all ABIs, with each list of architectures that makes a difference.
func TestEnginesAgainstLibseccomp(t *testing.T) {
	c := newComparison(t)
	profiles := engineProfiles(t)
	for i, name := range slices.Sorted(maps.Keys(profiles)) {
		p := profiles[name]
		t.Run(name, func(t *testing.T) {
			// libseccomp takes 0.1 s for each: not every set has all combinations.
			lists := [][]specs.Arch{allArchs, {specs.ArchX86_64, specs.ArchAARCH64}, {specs.ArchX86_64, specs.ArchX86}, {specs.ArchX32}}
			if i%6 > 0 {
				lists = lists[:1]
			}
			for _, p.Architectures = range lists {
				c.compare(t, p, "amd64")
				if i%3 == 0 {
					c.compare(t, p, "arm64")
				}
			}
		})
	}
	c.report(t)
}

// TestFiltersAgainstLibseccomp compares profiles that have one property each.
func TestFiltersAgainstLibseccomp(t *testing.T) {
	c := newComparison(t)
	for name, p := range testProfiles {
		t.Run(name, func(t *testing.T) {
			for _, goarch := range []string{"amd64", "arm64"} {
				c.compare(t, p, goarch)
			}
		})
	}
	c.report(t)
}

// comparison runs filters of both compilers and counts what it saw.
type comparison struct {
	lib     libseccomp
	numbers map[string][]int32
	usable  []string // the calls that have the same numbers in both tables

	filters, calls, refused int
	apart                   map[string]int // deviations by reason
}

func newComparison(t *testing.T) *comparison {
	t.Helper()
	c := &comparison{lib: newLibseccomp(t), apart: make(map[string]int)}
	c.numbers = c.lib.numbers(t)
	for _, row := range syscalls {
		if c.same(row) {
			c.usable = append(c.usable, row.name)
		}
	}
	return c
}

// same reports that libseccomp has the row's numbers. Of its negative numbers
// -1 stands for a name that it does not know, -100 and below for a way by
// socketcall or ipc beside the number of its own.
func (c *comparison) same(row syscallRow) bool {
	for a, nr := range row.nr {
		their := c.numbers[row.name][a]
		byOther := abi(a) == x86 && their <= -100
		if their == -1 || their != nr && (their >= 0 || nr >= 0) && !byOther {
			return false
		}
	}
	return true
}

func (c *comparison) report(t *testing.T) {
	t.Logf("%d calls through %d pairs of filters; %d profiles that libseccomp refuses", c.calls, c.filters, c.refused)
	for _, why := range slices.Sorted(maps.Keys(c.apart)) {
		t.Logf("%7d apart as meant: %s", c.apart[why], why)
	}
}

// compare runs both filters of a profile for every number of every ABI, known
// or not, with the arguments that the rules of the call tell apart.
func (c *comparison) compare(t *testing.T, p *specs.LinuxSeccomp, goarch string) {
	t.Helper()
	p = c.known(p)
	ours, err := Compile(p, goarch)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ok := c.lib.compile(t, p, goarch, 1)
	if !ok {
		c.refused++
		return
	}
	c.filters++
	s := newSubject(p, goarch)
	for _, arch := range []uint32{auditAMD64, audit386, auditARM64, auditARM, 0, 0xc0000015} {
		for _, nr := range numbersToTry() {
			for _, args := range s.args(data{nr: nr, arch: arch}) {
				d := data{nr: nr, arch: arch, args: args}
				c.calls++
				got, _ := execute(ours, d)
				want, _ := execute(theirs, d)
				want = s.withENOSYS(d, want)
				if got == want {
					continue
				}
				if why := apart(t, p, goarch, d, got, want); why != "" {
					c.apart[why]++
					continue
				}
				var rules []byte
				if b, ok := abiOfCall(p, goarch, d); ok {
					rules, _ = json.Marshal(s.rules[b][nr])
				}
				t.Fatalf("%s, %+v: got %#x, libseccomp %#x; the call's rules: %s", goarch, d, uint32(got), uint32(want), rules)
			}
		}
	}
}

// known leaves out the calls that only one of the tables has.
func (c *comparison) known(p *specs.LinuxSeccomp) *specs.LinuxSeccomp {
	q := *p
	q.Syscalls = nil
	for _, s := range p.Syscalls {
		s.Names = slices.DeleteFunc(slices.Clone(s.Names), func(name string) bool {
			i, ok := rowOf(name)
			return ok && !c.same(syscalls[i])
		})
		q.Syscalls = append(q.Syscalls, s)
	}
	return &q
}

// numbersToTry are all that are or could be a call, of one ABI or another.
func numbersToTry() []uint32 {
	all := []uint32{700, x32Bit - 1, x32Bit, x32Bit + 700, 1<<31 - 1, 1 << 31, 1<<31 + 1, 3<<30 - 1, 3 << 30, 3<<30 + 1, 1<<32 - 2, 1<<32 - 1, armPrivate, armPrivate + 9}
	for nr := range uint32(480) {
		all = append(all, nr, nr|x32Bit)
	}
	for _, row := range syscalls {
		for _, nr := range row.nr {
			if nr >= 0 {
				all = append(all, uint32(nr))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// subject is a profile with what the comparison asks of it again and again.
type subject struct {
	*specs.LinuxSeccomp
	goarch string
	last   [abis]int64 // the highest number named, -1 if none is
	rules  [abis]map[uint32][]specs.LinuxSyscall
}

func newSubject(p *specs.LinuxSeccomp, goarch string) *subject {
	s := &subject{LinuxSeccomp: p, goarch: goarch}
	for b := range abis {
		s.last[b], s.rules[b] = -1, make(map[uint32][]specs.LinuxSyscall)
		for _, c := range p.Syscalls {
			for _, name := range c.Names {
				if nr, ok := abi(b).number(name); ok {
					s.last[b] = max(s.last[b], int64(nr))
					s.rules[b][nr] = append(s.rules[b][nr], c)
				}
			}
		}
	}
	return s
}

// args makes arguments for which each rule of a call holds, or one of its
// conditions does not, or hardly.
func (s *subject) args(d data) [][6]uint64 {
	all := [][6]uint64{{}}
	b, ok := abiOfCall(s.LinuxSeccomp, s.goarch, d)
	if !ok {
		return all
	}
	for _, c := range s.rules[b][d.nr] {
		var base [6]uint64
		for _, a := range c.Args {
			base[a.Index] = satisfying(a)
		}
		if len(c.Args) > 0 {
			all = append(all, base)
		}
		for _, a := range c.Args {
			for _, v := range []uint64{a.Value, a.ValueTwo, 0} {
				for _, v := range []uint64{v - 1, v, v + 1, v ^ 1<<32, v ^ 1<<63, ^v, v & math.MaxUint32} {
					args := base
					args[a.Index] = v
					all = append(all, args)
				}
			}
		}
	}
	if name := nameOf(b, d.nr); b == x86 && (name == "socketcall" || name == "ipc") {
		for i := range uint64(26) {
			all = append(all, [6]uint64{i}, [6]uint64{i, 1, 2}, [6]uint64{i | 1<<16, 40})
		}
	}
	return all
}

// satisfying is a value for which a comparison holds.
func satisfying(a specs.LinuxSeccompArg) uint64 {
	switch a.Op {
	case specs.OpNotEqual, specs.OpGreaterThan:
		return a.Value + 1
	case specs.OpLessThan:
		return a.Value - 1
	case specs.OpMaskedEqual:
		return a.ValueTwo & a.Value
	}
	return a.Value
}

// withENOSYS is what the code says that runc puts before libseccomp's filter.
func (s *subject) withENOSYS(d data, verdict action) action {
	if permissive(s.LinuxSeccomp) {
		return verdict
	}
	var b abi
	listed := func(a specs.Arch) bool { return slices.Contains(s.Architectures, a) }
	switch bit := d.nr&x32Bit != 0; {
	case s.goarch == "amd64" && d.arch == auditAMD64 && !bit:
		b = amd64
	case s.goarch == "amd64" && d.arch == auditAMD64 && listed(specs.ArchX32):
		b = x32
	case s.goarch == "amd64" && d.arch == audit386 && listed(specs.ArchX86):
		b = x86
	case s.goarch == "arm64" && d.arch == auditARM64:
		b = arm64
	case s.goarch == "arm64" && d.arch == auditARM && listed(specs.ArchARM):
		b = arm
	default:
		return verdict
	}
	if s.last[b] >= 0 && int64(d.nr) > s.last[b] {
		return retENOSYS
	}
	return verdict
}

// apart gives the reason why a verdict is not libseccomp's, if there is one:
// doc.go lists them.
func apart(t *testing.T, p *specs.LinuxSeccomp, goarch string, d data, got, want action) string {
	t.Helper()
	b, ok := abiOfCall(p, goarch, d)
	if !ok {
		return ""
	}
	dflt, err := actionOf(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		t.Fatal(err)
	}
	name := nameOf(b, d.nr)
	switch {
	case got == retENOSYS && want == dflt && (b == x32 || b == arm) && isNew(p, b, d.nr):
		return "a new call of an ABI that numbers some calls apart gets ENOSYS, not the default"
	case b == x86 && name == "ipc" && d.args[0] > 0xffff:
		return "ipc of another version is the same call"
	case b == x86 && (name == "socketcall" || name == "ipc"):
		if why := multiplexedApart(t, p, d, name, got, want, dflt); why != "" {
			return why
		}
	}
	switch {
	case got != naive(t, p, goarch, d):
		return ""
	case slices.Contains(matching(t, p, b, d), want):
		return orderApart
	}
	return noRuleApart
}

// Deviations that only profiles show in which rules of one call overlap.
const (
	orderApart  = "of rules that hold at once the first counts, for libseccomp the order of its tree"
	noRuleApart = "libseccomp gives the action of no rule that holds"
)

func nameOf(b abi, nr uint32) string {
	for _, row := range syscalls {
		if row.nr[b] >= 0 && uint32(row.nr[b]) == nr {
			return row.name
		}
	}
	return ""
}

func reaches(b abi, name string, nr uint32) bool {
	n, ok := b.number(name)
	return ok && n == nr
}

// matching are the actions of all rules that hold for a call.
func matching(t *testing.T, p *specs.LinuxSeccomp, b abi, d data) (acts []action) {
	t.Helper()
	for _, c := range p.Syscalls {
		if !slices.ContainsFunc(c.Names, func(name string) bool { return reaches(b, name, d.nr) }) {
			continue
		}
		act, err := actionOf(c.Action, c.ErrnoRet)
		if err != nil {
			t.Fatal(err)
		}
		all, _ := alternativesOf(c.Args, act)
		for _, r := range all {
			if !slices.ContainsFunc(r.when, func(a specs.LinuxSeccompArg) bool { return !holds(a, d.args[a.Index], b) }) {
				acts = append(acts, act)
			}
		}
	}
	return acts
}

// multiplexedApart: libseccomp compares the arguments of a call by way of
// socketcall or ipc with the pointers that stand there, and forgets its first.
func multiplexedApart(t *testing.T, p *specs.LinuxSeccomp, d data, name string, got, want, dflt action) string {
	t.Helper()
	direct := ""
	for _, m := range multiplexers {
		if i := d.args[0] & m.mask; m.call == name && i < uint64(len(m.calls)) {
			direct = m.calls[i]
		}
	}
	for _, c := range p.Syscalls {
		if len(c.Args) == 0 || direct == "" || !slices.Contains(c.Names, direct) {
			continue
		}
		switch act, err := actionOf(c.Action, c.ErrnoRet); {
		case err != nil:
			t.Fatal(err)
		case want == act && act.permits() && got == dflt:
			return "a rule on arguments permits nothing by way of " + name
		case got == act:
			return "a rule on arguments that forbids, traces or logs does so with all by way of " + name
		}
	}
	return ""
}
