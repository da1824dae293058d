// Package attribute makes the steps that give a process its attributes besides
// credentials: scheduling, memory policy, personality, session keyring, OOM
// score, and the labels of security modules.
//
// Level: R.
// Owns: these system calls and what may be wrong with them.
// May import: ociruntime/plan/call and number, ociruntime/program, internal/linux.
// Must not know: when in a plan they come.
package attribute

import (
	"strconv"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/plan/number"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Schedule sets how a process is scheduled and its I/O; pid 0 is the one that runs the step.
func Schedule(c *call.Calls, pid program.Arg, p *specs.Process) {
	if s := p.Scheduler; s != nil {
		attr, err := number.Sched(s)
		if err != nil {
			c.Refuse("%w", err)
		}
		c.Do("set scheduling policy %s", s.Policy)
		c.Remedy("see sched_setattr(2) for what goes together; a realtime or deadline policy needs CAP_SYS_NICE and a cgroup that allows it")
		c.Call("sched_setattr", linux.SysSchedSetattr, pid, c.Bytes(attr, "attr"), program.Int(0))
	}
	if p.IOPriority != nil {
		prio, err := number.IOPriority(p.IOPriority)
		if err != nil {
			c.Refuse("%w", err)
		}
		c.Do("set I/O priority %s, %d", p.IOPriority.Class, p.IOPriority.Priority)
		c.Call("ioprio_set", linux.SysIoprioSet, program.Flags(linux.IoprioWhoProcess, "IOPRIO_WHO_PROCESS"), pid, program.Flags(prio, "priority"))
	}
}

// Execution sets the personality and the memory policy of the process that runs the step.
func Execution(c *call.Calls, l *specs.Linux) {
	if l.Personality != nil {
		persona, err := number.Personality(l.Personality)
		if err != nil {
			c.Refuse("%w", err)
		}
		c.Do("set personality %s", l.Personality.Domain)
		c.Call("personality", linux.SysPersonality, program.Flags(persona, string(l.Personality.Domain)))
	}
	if l.MemoryPolicy != nil {
		mode, nodes, err := number.MemoryPolicy(l.MemoryPolicy)
		if err != nil {
			c.Refuse("%w", err)
		}
		c.Do("set memory policy %s", l.MemoryPolicy.Mode)
		c.Remedy("see set_mempolicy(2) for what goes together, and /sys/devices/system/node for the nodes there are")
		mask, bits := program.Int(0), 0
		if len(nodes) > 0 {
			mask, bits = c.Bytes(nodes, "nodes"), len(nodes)*8+1 // the kernel takes one off
		}
		c.Call("set_mempolicy", linux.SysSetMempolicy, program.Flags(mode, "mode"), mask, program.Int(bits))
	}
}

// Affinity binds the process that runs the step to a list of CPUs, if there is one.
func Affinity(c *call.Calls, list string) {
	if list == "" {
		return
	}
	mask, err := number.Set(list)
	if err != nil || len(mask) == 0 {
		c.Refuse("process.execCPUAffinity %q is no list of CPUs: %v", list, err)
		return
	}
	c.Do("run on CPUs %s", list)
	c.Remedy("none of them is there, or in the cgroup's cpuset")
	c.Call("sched_setaffinity", linux.SysSchedSetaffinity, program.Int(0), program.Int(len(mask)), c.Bytes(mask, "cpus"))
}

// keyringPerm is what a new session keyring allows, and search for its owner
// besides: without it an exec could not join it (keyrings(7)).
const keyringPerm = 0x3f130000 | 0x00080000

// Keyring takes the process into the session keyring of a name and out of the
// caller's; a new one is made if fresh is set. A kernel without keyrings, or a
// container around this one that forbids them, is no reason to fail.
func Keyring(c *call.Calls, name string, fresh bool) {
	if name == "" {
		return
	}
	c.Do("join session keyring %s", name)
	c.Remedy("see the quotas in /proc/sys/kernel/keys")
	ring := c.Slot("keyring")
	c.Call("keyctl", linux.SysKeyctl, program.Flags(linux.KeyctlJoinSession, "JOIN_SESSION_KEYRING"), c.String(name)).To(ring).Tolerate(syscall.ENOSYS, syscall.EPERM)
	if !fresh {
		return
	}
	done := c.Label("no keyring")
	c.IfEqual(ring.Value(), program.Errno(syscall.ENOSYS), done)
	c.IfEqual(ring.Value(), program.Errno(syscall.EPERM), done)
	c.Call("keyctl", linux.SysKeyctl, program.Flags(linux.KeyctlSetperm, "SETPERM"), ring.Value(), program.Flags(keyringPerm, "perm"))
	c.Place(done)
}

// Score sets the OOM score of the process whose file is opened.
func Score(c *call.Calls, adj *int, open func() program.Slot) {
	if adj == nil { // 0 counts: the caller's own may be another
		return
	}
	text := strconv.Itoa(*adj)
	c.Do("set oom_score_adj to %s", text)
	c.Remedy("a score below that of who asks needs CAP_SYS_RESOURCE: raise process.oomScoreAdj (--oom-score-adj)")
	fd := open()
	c.Call("write", syscall.SYS_WRITE, fd.Value(), c.Bytes([]byte(text), text), program.Int(len(text)))
	c.Call("close", syscall.SYS_CLOSE, fd.Value())
}
