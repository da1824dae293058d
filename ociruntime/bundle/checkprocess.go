package bundle

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"berth/internal/linux"
	"berth/ociruntime/plan/number"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (c *checker) process(p *specs.Process) error {
	for _, check := range []func(*specs.Process) error{
		checkCommand, checkUser, checkTerminal, checkRlimits, checkScheduling, checkAffinity,
	} {
		if err := check(p); err != nil {
			return err
		}
	}
	c.capabilities(p.Capabilities)
	return nil
}

func checkCommand(p *specs.Process) error {
	switch {
	case len(p.Args) == 0:
		return errors.New("process.args is empty: give the command to run")
	case p.Cwd == "":
		return errors.New(`process.cwd is missing: write "/"`)
	case !filepath.IsAbs(p.Cwd):
		return fmt.Errorf("process.cwd %q is not absolute: start it with /", p.Cwd)
	}
	for i, e := range p.Env {
		if strings.IndexByte(e, '=') < 1 {
			return fmt.Errorf("process.env[%d] %q is not of the form NAME=value", i, e)
		}
	}
	return nil
}

// noID is what system calls take for "leave the id as it is": a process that
// asked for it would stay root.
const noID = 1<<32 - 1

func checkUser(p *specs.Process) error {
	u := p.User
	switch {
	case u.UID == noID:
		return fmt.Errorf("process.user.uid %d is no user's", u.UID)
	case u.GID == noID:
		return fmt.Errorf("process.user.gid %d is no group's", u.GID)
	case slices.Contains(u.AdditionalGids, noID):
		return fmt.Errorf("process.user.additionalGids has %d, which is no group's", uint32(noID))
	case u.Umask != nil && *u.Umask > 0o777:
		return fmt.Errorf("process.user.umask %#o is above 0777", *u.Umask)
	}
	return nil
}

func checkTerminal(p *specs.Process) error {
	const most = 1<<16 - 1
	if b := p.ConsoleSize; b != nil && (b.Height > most || b.Width > most) {
		return fmt.Errorf("process.consoleSize %d x %d is above %d", b.Width, b.Height, most)
	}
	return nil
}

func checkRlimits(p *specs.Process) error {
	for i, l := range p.Rlimits {
		switch {
		case !slices.Contains(number.Rlimits(), l.Type):
			return fmt.Errorf("process.rlimits[%d].type %q is unknown: write one of %s", i, l.Type, choices(slices.Sorted(slices.Values(number.Rlimits()))))
		case l.Soft > l.Hard:
			return fmt.Errorf("process.rlimits[%d] (%s): the soft limit %d is above the hard limit %d", i, l.Type, l.Soft, l.Hard)
		case slices.ContainsFunc(p.Rlimits[:i], func(o specs.POSIXRlimit) bool { return o.Type == l.Type }):
			return fmt.Errorf("process.rlimits[%d].type %s is there twice", i, l.Type)
		}
	}
	return nil
}

func checkScheduling(p *specs.Process) error {
	if p.OOMScoreAdj != nil && (*p.OOMScoreAdj < -1000 || *p.OOMScoreAdj > 1000) {
		return fmt.Errorf("process.oomScoreAdj %d is not between -1000 and 1000", *p.OOMScoreAdj)
	}
	if io := p.IOPriority; io != nil {
		switch io.Class {
		case specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE:
		default:
			return fmt.Errorf("process.ioPriority.class %q is unknown: write IOPRIO_CLASS_RT, IOPRIO_CLASS_BE or IOPRIO_CLASS_IDLE", io.Class)
		}
		if io.Priority < 0 || io.Priority > 7 {
			return fmt.Errorf("process.ioPriority.priority %d is not between 0 and 7", io.Priority)
		}
	}
	if p.Scheduler == nil {
		return nil
	}
	return checkScheduler(p.Scheduler)
}

// checkScheduler has the rules of sched_setattr(2).
func checkScheduler(s *specs.Scheduler) error {
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	switch s.Policy {
	case specs.SchedOther, specs.SchedBatch, specs.SchedIdle, specs.SchedISO, specs.SchedFIFO, specs.SchedRR, specs.SchedDeadline:
	case "":
		return errors.New("process.scheduler.policy is missing")
	default:
		return fmt.Errorf("process.scheduler.policy %q is unknown: write one such as SCHED_OTHER or SCHED_FIFO", s.Policy)
	}
	for _, f := range s.Flags {
		if !slices.Contains(number.SchedulerFlags(), f) {
			return fmt.Errorf("process.scheduler.flags: %q is unknown: write %s", f, choices(number.SchedulerFlags()))
		}
	}
	switch {
	case s.Nice < -20 || s.Nice > 19:
		return fmt.Errorf("process.scheduler.nice %d is not between -20 and 19", s.Nice)
	case !realtime && s.Priority != 0:
		return fmt.Errorf("process.scheduler.priority is for SCHED_FIFO and SCHED_RR, not for %s", s.Policy)
	case realtime && (s.Priority < 1 || s.Priority > 99):
		return fmt.Errorf("process.scheduler.priority %d is not between 1 and 99, which %s needs", s.Priority, s.Policy)
	case s.Policy != specs.SchedDeadline && (s.Runtime != 0 || s.Deadline != 0 || s.Period != 0):
		return fmt.Errorf("process.scheduler: runtime, deadline and period are for SCHED_DEADLINE, not for %s", s.Policy)
	case s.Policy == specs.SchedDeadline && (s.Runtime == 0 || s.Runtime > s.Deadline || s.Period != 0 && s.Deadline > s.Period):
		return errors.New("process.scheduler: SCHED_DEADLINE needs a runtime above 0, at most the deadline, which is at most the period")
	}
	return nil
}

func checkAffinity(p *specs.Process) error {
	a := p.ExecCPUAffinity
	if a == nil {
		return nil
	}
	for _, l := range []struct{ property, value string }{{"initial", a.Initial}, {"final", a.Final}} {
		if l.value != "" && !isList(l.value) {
			return fmt.Errorf("process.execCPUAffinity.%s %q is no list of CPUs such as 0-3,7", l.property, l.value)
		}
	}
	return nil
}

// isList says whether s is a list of numbers and ranges: 0-3,7.
func isList(s string) bool {
	for part := range strings.SplitSeq(s, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		low, err := strconv.ParseUint(from, 10, 16)
		if err != nil {
			return false
		}
		if high, err := strconv.ParseUint(to, 10, 16); ranged && (err != nil || high < low) {
			return false
		}
	}
	return true
}

// capabilities leaves out those that have no meaning, as runc does: a newer
// engine's name for what this kernel cannot have.
func (c *checker) capabilities(caps *specs.LinuxCapabilities) {
	if caps == nil {
		return
	}
	unknown := map[string]bool{}
	for _, set := range []*[]string{&caps.Bounding, &caps.Effective, &caps.Inheritable, &caps.Permitted, &caps.Ambient} {
		*set = slices.DeleteFunc(*set, func(name string) bool {
			known := slices.Contains(linux.Capabilities(), name)
			if !known && !unknown[name] {
				unknown[name] = true
				c.warn("process.capabilities: %q is unknown and left out", name)
			}
			return !known
		})
	}
}
