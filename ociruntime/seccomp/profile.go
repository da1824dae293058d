package seccomp

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// action is a value that the filter returns: SECCOMP_RET_* and its data.
type action uint32

// SECCOMP_RET_* (linux/seccomp.h).
const (
	retKillProcess action = 0x80000000
	retKillThread  action = 0x00000000
	retTrap        action = 0x00030000
	retErrno       action = 0x00050000
	retNotify      action = 0x7fc00000
	retTrace       action = 0x7ff00000
	retLog         action = 0x7ffc0000
	retAllow       action = 0x7fff0000
)

const retENOSYS = retErrno | action(syscall.ENOSYS)

// maxErrno is the highest error number that the kernel returns to a program.
const maxErrno = 4095

func actionOf(a specs.LinuxSeccompAction, errno *uint) (action, error) {
	data := uint(syscall.EPERM)
	if errno != nil {
		most := uint(maxErrno)
		switch a {
		case specs.ActErrno:
		case specs.ActTrace:
			most = math.MaxUint16 // a message for the tracer, not an errno
		default:
			return 0, fmt.Errorf("seccomp action %s takes no errnoRet", a)
		}
		if data = *errno; data > most {
			return 0, fmt.Errorf("seccomp errnoRet %d is above %d", data, most)
		}
	}
	switch a {
	case specs.ActKill, specs.ActKillThread:
		return retKillThread, nil
	case specs.ActKillProcess:
		return retKillProcess, nil
	case specs.ActTrap:
		return retTrap, nil
	case specs.ActErrno:
		return retErrno | action(data), nil
	case specs.ActTrace:
		return retTrace | action(data), nil
	case specs.ActNotify:
		return retNotify, nil
	case specs.ActLog:
		return retLog, nil
	case specs.ActAllow:
		return retAllow, nil
	}
	return 0, fmt.Errorf("unknown seccomp action %q", a)
}

// permits reports whether the action lets a call through. Trace counts: a
// tracer answers for calls it does not know itself. Of two that permit the
// lower number is the stricter, as for the kernel.
func (a action) permits() bool {
	return a == retAllow || a == retLog || a&^0xffff == retTrace
}

// rule is one alternative of a call: if all conditions hold, act.
type rule struct {
	when []specs.LinuxSeccompArg
	act  action
}

// ruleset is a profile checked and freed of what has no effect.
type ruleset struct {
	dflt  action
	calls []named // in the order of the table of calls
	flags uint
}

// named says whether the profile names a call and what for. Without rules it
// gets the default action; a rule without conditions stands alone.
type named struct {
	is    bool
	rules []rule
}

// numbered is a call by its number in one abi.
type numbered struct {
	nr    uint32
	rules []rule
}

// readProfile checks every rule, those of unknown calls too.
func readProfile(p *specs.LinuxSeccomp) (*ruleset, error) {
	dflt, err := actionOf(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	if dflt == retNotify {
		// The process that hands the listener over would wait for it.
		return nil, fmt.Errorf("seccomp: %s cannot be the default action", specs.ActNotify)
	}
	s := &ruleset{dflt: dflt, calls: make([]named, len(syscalls))}
	if s.flags, err = flagsOf(p.Flags); err != nil {
		return nil, err
	}
	for _, c := range p.Syscalls {
		act, err := actionOf(c.Action, c.ErrnoRet)
		if err != nil {
			return nil, err
		}
		alternatives, err := alternativesOf(c.Args, act)
		if err != nil {
			return nil, fmt.Errorf("seccomp rule for %v: %w", c.Names, err)
		}
		if act == retNotify {
			if err := s.addNotify(p, c.Names); err != nil {
				return nil, err
			}
		}
		if act == dflt {
			alternatives = nil
		}
		for _, name := range c.Names {
			if name == "" {
				return nil, errors.New("a seccomp rule names a call \"\"")
			}
			if i, ok := rowOf(name); ok {
				s.calls[i] = named{true, merge(s.calls[i].rules, alternatives)}
				if n := len(s.calls[i].rules); n > maxInsns { // and compiling takes its square
					return nil, fmt.Errorf("the seccomp profile has %d rules for %s, more than the kernel takes instructions: give it fewer", n, name)
				}
			}
		}
	}
	if s.flags&FlagNewListener == 0 {
		s.flags &^= FlagWaitKillableRecv // the kernel refuses it without a listener
	}
	return s, nil
}

func (s *ruleset) addNotify(p *specs.LinuxSeccomp, names []string) error {
	if slices.Contains(names, "write") {
		// The listener itself is handed over with it.
		return fmt.Errorf("seccomp: %s cannot be used for write", specs.ActNotify)
	}
	if p.ListenerPath == "" {
		return fmt.Errorf("seccomp: %s needs a listenerPath", specs.ActNotify)
	}
	s.flags |= FlagNewListener
	return nil
}

// merge keeps the first rule without conditions, which makes all others void.
func merge(have, more []rule) []rule {
	switch {
	case len(more) == 0, len(have) > 0 && len(have[0].when) == 0:
		return have
	case len(more[0].when) == 0:
		return more
	}
	return append(slices.Clip(have), more...)
}

// alternativesOf makes one rule of the conditions, or one of each if an
// argument is named twice. There is at least one.
func alternativesOf(args []specs.LinuxSeccompArg, act action) ([]rule, error) {
	var seen [6]bool
	var repeated bool
	for _, a := range args {
		if a.Index >= uint(len(seen)) {
			return nil, fmt.Errorf("argument index %d is above 5", a.Index)
		}
		switch a.Op {
		case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
			specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual:
		default:
			return nil, fmt.Errorf("unknown operator %q", a.Op)
		}
		repeated = repeated || seen[a.Index]
		seen[a.Index] = true
	}
	if !repeated {
		return []rule{{args, act}}, nil
	}
	var all []rule
	for i := range args {
		all = append(all, rule{args[i : i+1], act})
	}
	return all, nil
}

// Flags of seccomp(2) that a filter is loaded with.
const (
	FlagLog              uint = 1 << 1
	FlagSpecAllow        uint = 1 << 2
	FlagNewListener      uint = 1 << 3
	FlagWaitKillableRecv uint = 1 << 5
)

func flagsOf(flags []specs.LinuxSeccompFlag) (uint, error) {
	if flags == nil {
		// runc's default: without it Linux before 5.16 turns off speculative
		// stores for the container, which protects nobody here and is slow.
		return FlagSpecAllow, nil
	}
	var f uint
	for _, name := range flags {
		switch name {
		case specs.LinuxSeccompFlagLog:
			f |= FlagLog
		case specs.LinuxSeccompFlagSpecAllow:
			f |= FlagSpecAllow
		case specs.LinuxSeccompFlagWaitKillableRecv:
			f |= FlagWaitKillableRecv
		case "SECCOMP_FILTER_FLAG_TSYNC": // one thread loads the filter: nothing to synchronise
		default:
			return 0, fmt.Errorf("unknown seccomp flag %q", name)
		}
	}
	return f, nil
}

// forABI gives the calls that the profile names and one abi has, by number.
func (s *ruleset) forABI(a abi) []numbered {
	calls := make([]numbered, 0, len(s.calls))
	for i, n := range s.calls {
		if nr := syscalls[i].nr[a]; n.is && nr >= 0 {
			calls = append(calls, numbered{uint32(nr), n.rules})
		}
	}
	if a == x86 {
		calls = append(calls, s.multiplexed()...)
	}
	slices.SortStableFunc(calls, func(x, y numbered) int { return cmp.Compare(x.nr, y.nr) })
	out := calls[:0]
	for _, c := range calls {
		if n := len(out); n > 0 && out[n-1].nr == c.nr { // two names of one call
			out[n-1].rules = merge(out[n-1].rules, c.rules)
			continue
		}
		out = append(out, c)
	}
	return out
}

// multiplexed gives the rules of calls that 386 has by way of another.
func (s *ruleset) multiplexed() (calls []numbered) {
	for _, m := range multiplexers {
		nr, _ := x86.number(m.call)
		for i, name := range m.calls {
			at, ok := rowOf(name)
			if !ok {
				continue
			}
			// Behind a pointer the filter cannot see arguments: a rule that
			// forbids some, or has some traced or logged, does so with all; one
			// that permits some permits none.
			direct := s.calls[at].rules
			r := slices.IndexFunc(direct, func(r rule) bool {
				return len(r.when) == 0 || !r.act.permits() || s.dflt.permits() && r.act < s.dflt
			})
			if r < 0 {
				continue
			}
			which := specs.LinuxSeccompArg{Index: 0, Op: specs.OpMaskedEqual, Value: m.mask, ValueTwo: uint64(i)}
			calls = append(calls, numbered{nr, []rule{{[]specs.LinuxSeccompArg{which}, direct[r].act}}})
		}
	}
	return calls
}

// multiplexers are the two calls of 386 that stand for many: their first
// argument, under mask, is an index of calls (linux/net.h, linux/ipc.h).
var multiplexers = []struct {
	call  string
	mask  uint64
	calls []string
}{
	{"socketcall", 0xffffffff, []string{
		1: "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
		"sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg",
	}},
	{"ipc", 0xffff, []string{ // the upper half is a version
		1: "semop", "semget", "semctl", "semtimedop",
		11: "msgsnd", "msgrcv", "msgget", "msgctl",
		21: "shmat", "shmdt", "shmget", "shmctl",
	}},
}
