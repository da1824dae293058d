package plan

import (
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
)

// notifies says whether the filter asks an agent about some calls, by a listener.
func (p *planner) notifies() bool {
	return len(p.in.Filter) > 0 && p.in.FilterFlags&linux.SeccompNewListener != 0
}

// handOverListener tells the caller which file the listener is, and waits until it
// has its copy: seccomp/agent.go says who does what. Until then no call but this
// write may be one that waits for the agent, which has nothing to answer with yet.
func (p *planner) handOverListener(listener program.Slot) {
	if p.in.Handover == nil {
		p.Refuse("linux.seccomp has rules with SCMP_ACT_NOTIFY, and here nobody hands a listener over: use another action")
		return
	}
	agent := FDAgent
	if p.in.Preserved() > 0 {
		agent = p.fixed(fdAgent)
	}
	p.Do("hand over the seccomp listener")
	p.Remedy("the seccomp profile must let write and read pass")
	p.Call("write", syscall.SYS_WRITE, program.Int(agent), listener.Address(), program.Int(8))
	p.Call("read", syscall.SYS_READ, program.Int(agent), p.word.At(0), program.Int(8))
	// The command does not get it, but may be long in coming: without this copy
	// the end of the agent means ENOSYS for what it was asked.
	p.Call("close", syscall.SYS_CLOSE, listener.Value()).Tolerate(syscall.EPERM, syscall.EACCES, syscall.ENOSYS)
}
