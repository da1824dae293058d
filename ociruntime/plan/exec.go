package plan

import (
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/attribute"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Files that an exec's keeper starts with after the cgroup files of Input.Joins.
// FDDevpts is the container's own devpts, kept since its start.

// BuildExec compiles the plan of a further process in a running container. The
// pidfd of the container's init is open after the joins.
//
//	keeper                               process
//	enter the pid namespace
//	clone ------------------------------> join the cgroup
//	limits  ------------- root ---------> enter the other namespaces by pidfd
//	wait for ready  <---- ready --------- console, privileges, execve
//
// The process cannot be traced from inside: its memory belongs to the host's
// user namespace until execve (ptrace(2), PTRACE_MODE_ATTACH).
func BuildExec(in Input) (*program.Program, error) {
	in.Spec.Mounts = nil // the container has its mounts
	p, err := newPlanner(in)
	if err != nil {
		return nil, err
	}
	p.exec = true
	pidfd := program.Flags(uint64(p.execInit()), "#init")
	p.prepareKeeper()
	p.Group("namespace")
	p.Do("enter the pid namespace")
	// These two a process enters only for its children.
	born, text := uint64(linux.CloneNewpid), "CLONE_NEWPID"
	if p.has(specs.TimeNamespace) {
		born, text = born|linux.CloneNewtime, text+"|CLONE_NEWTIME"
	}
	if in.Rootless {
		// Only the user namespace gives the privilege to enter the others, so that
		// all are entered at once (setns(2), with a pidfd). But from inside the cgroup
		// namespace clone3 does not find the cgroup (nsdelegate in cgroups(7): ENOENT).
		born, text = p.enterable()&^linux.CloneNewcgroup, "all its namespaces but cgroup"
	}
	p.Call("setns", linux.SysSetns, pidfd, program.Flags(born, text))
	cpus := in.Spec.Process.ExecCPUAffinity
	if cpus == nil {
		cpus = &specs.CPUAffinity{}
	}
	attribute.Affinity(p.Calls, cpus.Initial)
	p.cloneChild(0, "in the container's pid namespace")
	p.Group("keeper")
	p.Do("record keeper and process")
	p.recordPids()
	p.limitProcess()
	p.Group("keeper")
	p.Do("let the process go on")
	p.signal(p.root)
	p.leave()

	p.Place(p.initLabel)
	p.Group("namespace")
	p.dieWithKeeper()
	p.join(false)
	attribute.Affinity(p.Calls, cpus.Final)
	p.Group("namespace")
	p.Do("wait for limits")
	p.await(p.root)
	if !in.Rootless { // labels are not for users
		p.labels = attribute.OpenLabels(p.Calls, in.Spec.Process) // while the host's /proc is in view
	}
	if left := p.enterable() &^ born; left != 0 {
		p.Do("enter the container's namespaces")
		p.Call("setns", linux.SysSetns, pidfd, program.Flags(left, "all its namespaces"))
	}
	p.becomeRoot()
	attribute.Keyring(p.Calls, in.Keyring, false)
	p.Do("start a session")
	p.Call("setsid", linux.SysSetsid)
	if in.Spec.Process.Terminal && in.Handover == nil {
		p.console(false)
	}
	p.Do("open the root")
	root := p.Slot("container-root")
	p.Call("openat", syscall.SYS_OPENAT, program.Flags(fdcwd, "AT_FDCWD"), p.String("/"), program.Flags(linux.OPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, "O_PATH|O_DIRECTORY"), program.Int(0)).To(root)
	if in.Spec.Process.Terminal && in.Handover != nil {
		p.findPts(root)
		p.console(false)
	}
	p.enterCwd(p.openCwd(root.Value()))
	p.privileges()
	p.Execute(p.command(), p.in.Spec.Process.Args, p.in.Spec.Process.Env)
	return p.Assemble()
}

// enterable are the flags of all namespaces of the container (setns(2)).
func (p *planner) enterable() (flags uint64) {
	for _, n := range p.in.Spec.Linux.Namespaces {
		flags |= enterFlags[n.Type]
	}
	return flags
}

// execInit is where the pidfd of the container's init is.
func (p *planner) execInit() int { return FDFirstJoin + len(p.in.Joins) }

// findPts opens the container's devpts by its path, for there is no keeper that
// has it. Something else that the container has put there is refused.
func (p *planner) findPts(root program.Slot) {
	p.Do("find /dev/pts")
	p.Remedy("the container must have a devpts there")
	pts, is := p.Slot("pts"), p.Label("is devpts")
	how := p.OpenHow(linux.OPath|syscall.O_DIRECTORY, linux.ResolveInRoot|linux.ResolveNoMagic, "O_PATH|O_DIRECTORY IN_ROOT")
	p.OpenIn(root.Value(), "/dev/pts", how, pts)
	info := p.Words("statfs", make([]uint64, 15)...) // struct statfs begins with f_type
	p.Call("fstatfs", syscall.SYS_FSTATFS, pts.Value(), info.At(0))
	p.IfEqual(info.Slot(0).Value(), program.Flags(linux.DevptsMagic, "DEVPTS_SUPER_MAGIC"), is)
	p.Call("fchdir", linux.SysFchdir, program.Int(-1)) // fails: this is how a program says no
	p.Place(is)
	p.Call("dup3", linux.SysDup3, pts.Value(), p.devpts(), program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"))
}
