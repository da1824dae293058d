package bundle

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// checkSeccomp checks the enumerations, so that an error names the place; the
// rest is the compiler's to say.
func checkSeccomp(s *specs.Spec) error {
	p := s.Linux.Seccomp
	if p == nil {
		return nil
	}
	if err := checkAction("linux.seccomp.defaultAction", p.DefaultAction); err != nil {
		return err
	}
	for i, a := range p.Architectures {
		if !slices.Contains(seccompArchs[:], a) {
			return fmt.Errorf("linux.seccomp.architectures[%d] %q is unknown: write one such as SCMP_ARCH_X86_64", i, a)
		}
	}
	for i, f := range p.Flags {
		if !slices.Contains(seccompFlags[:], f) {
			return fmt.Errorf("linux.seccomp.flags[%d] %q is unknown: write %s", i, f, choices(seccompFlags[:]))
		}
	}
	for i, c := range p.Syscalls {
		if len(c.Names) == 0 {
			return fmt.Errorf("linux.seccomp.syscalls[%d].names is empty", i)
		}
		if !slices.Contains(seccompActions[:], c.Action) {
			return checkAction(fmt.Sprintf("linux.seccomp.syscalls[%d].action", i), c.Action)
		}
		for j, a := range c.Args {
			if !slices.Contains(seccompOperators[:], a.Op) {
				return fmt.Errorf("linux.seccomp.syscalls[%d].args[%d].op %q is unknown: write %s", i, j, a.Op, choices(seccompOperators[:]))
			}
		}
	}
	return nil
}

func checkAction(property string, a specs.LinuxSeccompAction) error {
	if !slices.Contains(seccompActions[:], a) {
		return fmt.Errorf("%s %q is unknown: write %s", property, a, choices(seccompActions[:]))
	}
	return nil
}
