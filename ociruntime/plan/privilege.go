package plan

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/attribute"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (p *planner) capMask(names []string) uint64 {
	mask := uint64(0)
	for _, n := range names {
		i, ok := linux.Capability(n)
		if !ok {
			p.Refuse("capability %s is unknown", n)
			continue
		}
		mask |= 1 << i
	}
	if p.in.Available != 0 && !p.userns {
		mask &= p.in.Available // what cannot be granted is left out (config.md, "Linux Process")
	}
	return mask
}

// privileges gives up all that the user's command must not have. What needs a
// privilege comes before the step that gives it up. The seccomp filter comes last,
// so that it need not allow these calls: all it must let pass is capset, where
// loading it takes a capability, and execve.
func (p *planner) privileges() {
	proc := p.in.Spec.Process
	p.Group("privilege")
	if p.in.KeepPrivileges {
		p.letGo()
		p.liveOn()
		return
	}
	umask := uint64(0o022)
	if proc.User.Umask != nil {
		umask = uint64(*proc.User.Umask)
	}
	p.labels.Write(p.Calls)
	if !p.userns {
		attribute.Schedule(p.Calls, program.Int(0), proc)
	}
	attribute.Execution(p.Calls, p.in.Spec.Linux)
	p.Group("privilege")
	p.Do("set umask")
	p.Call("umask", linux.SysUmask, program.Flags(umask, fmt.Sprintf("%#o", umask)))
	caps := proc.Capabilities
	if caps == nil {
		caps = &specs.LinuxCapabilities{} // none, as other runtimes take it
	}
	effective, permitted := p.capMask(caps.Effective), p.capMask(caps.Permitted)
	inheritable, ambient := p.capMask(caps.Inheritable), p.capMask(caps.Ambient)
	attribute.DropBounding(p.Calls, p.capMask(caps.Bounding), p.in.LastCap)
	p.letGo()
	p.limitFiles()
	p.becomeUser()
	// Without no_new_privs only CAP_SYS_ADMIN may load a filter (seccomp(2)).
	loader := uint64(0)
	if len(p.in.Filter) > 0 && !proc.NoNewPrivileges {
		loader = 1 << linux.CapSysAdmin
	}
	attribute.SetCapabilities(p.Calls, effective|loader, permitted|loader, inheritable)
	// The kernel raises only what is in both other sets (capabilities(7)), and the
	// spec wants what cannot be granted left out.
	attribute.RaiseAmbient(p.Calls, ambient&permitted&inheritable, p.in.LastCap)
	if p.in.Handover == nil {
		p.dieWithKeeper()
	} else {
		p.liveOn()
	}
	if proc.NoNewPrivileges {
		p.Do("set no_new_privs")
		p.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrSetNoNewPrivs, "PR_SET_NO_NEW_PRIVS"), program.Int(1), program.Int(0), program.Int(0), program.Int(0))
	}
	dropLoader := func() {
		if loader != 0 {
			attribute.SetCapabilities(p.Calls, effective, permitted, inheritable)
		}
	}
	if filter := p.filter(); filter.Notifies() { // whoever makes the process must hand its listener on: before the wait
		socket := FDSeccomp
		if p.in.Preserved() > 0 {
			socket = p.fixed(fdSeccomp)
		}
		filter.LoadAndTell(p.Calls, socket)
		dropLoader()
		p.waitForStart()
		return
	}
	p.waitForStart()
	p.filter().Load(p.Calls)
	dropLoader()
}

func (p *planner) filter() attribute.Filter {
	return attribute.Filter{Code: p.in.Filter, Flags: p.in.FilterFlags}
}

// liveOn undoes dieWithKeeper for a process that is handed over.
func (p *planner) liveOn() {
	p.Do("live on without the caller")
	p.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrSetPdeathsig, "PR_SET_PDEATHSIG"), program.Int(0))
}

// letGo takes an own file table, marks all but the standard files
// close-on-exec, and lets the keeper go its way.
func (p *planner) letGo() {
	p.Do("keep only standard files")
	p.Call("close_range", linux.SysCloseRange, program.Int(3), program.Flags(1<<32-1, "~0"), program.Flags(linux.CloseRangeUnshare|linux.CloseRangeCloexec, "CLOSE_RANGE_UNSHARE|CLOSE_RANGE_CLOEXEC"))
	if p.in.Handover == nil {
		p.signal(p.ready)
	}
	p.preserveFiles()
	p.Do("unblock signals")
	p.Call("rt_sigprocmask", linux.SysSignalMask, program.Flags(2, "SIG_SETMASK"), p.Bytes(make([]byte, 8), "none"), program.Int(0), program.Int(8))
}

func (p *planner) becomeUser() {
	u := p.in.Spec.Process.User
	p.Do("become user %d:%d", u.UID, u.GID)
	var groups []byte
	for _, g := range u.AdditionalGids {
		groups = binary.LittleEndian.AppendUint32(groups, g)
	}
	uid, gid := program.Int(int(u.UID)), program.Int(int(u.GID))
	p.dropGroups(p.Call("setgroups", linux.SysSetgroups, program.Int(len(u.AdditionalGids)), p.Bytes(append(groups, 0), "groups")))
	p.Call("setresgid", linux.SysSetresgid, gid, gid, gid)
	if u.UID != 0 {
		p.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrSetKeepcaps, "PR_SET_KEEPCAPS"), program.Int(1))
	}
	p.Call("setresuid", linux.SysSetresuid, uid, uid, uid)
}

// command is the name of what is executed.
func (p *planner) command() string {
	if p.in.File != "" {
		return p.in.File
	}
	return p.in.Spec.Process.Args[0]
}
