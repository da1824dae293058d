package plan

import (
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/attribute"
	"berth/ociruntime/plan/guest"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Files that an exec's keeper starts with after the cgroup files of Input.Joins.
// FDDevpts is the container's own devpts, kept since its start.

// BuildExec compiles the plan of a further process in a running container. The
// pidfd of the container's init is open after the joins, and if it lives in the
// mount namespace of others (OwnMounts) its root comes after that.
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
	if p.guest {
		guest.Join(p.Calls, program.Flags(uint64(p.execInit()+1), "#init-root"))
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
		p.FindPts(root, p.devpts())
		p.console(false)
	}
	p.enterCwd(p.openCwd(root.Value(), false))
	p.privileges()
	p.Execute(p.command(), p.in.Spec.Process.Args, p.in.Spec.Process.Env)
	return p.Assemble()
}

// enterable are the flags of all namespaces of the container (setns(2)).
func (p *planner) enterable() (flags uint64) {
	for _, n := range p.in.Spec.Linux.Namespaces {
		flags |= enterFlags[n.Type]
	}
	if p.guest {
		flags |= linux.CloneNewns
	}
	return flags
}

// execInit is where the pidfd of the container's init is.
func (p *planner) execInit() int { return FDFirstJoin + len(p.in.Joins) }
