package plan

import (
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"
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
	pidfd := program.Flags(uint64(FDFirstJoin+len(in.Joins)), "#init")
	p.prepareKeeper()
	p.Group("namespace")
	p.Do("enter the pid namespace")
	p.Call("setns", linux.SysSetns, pidfd, program.Flags(linux.CloneNewpid, "CLONE_NEWPID"))
	p.cloneInit(0, "in the container's pid namespace")
	p.Group("keeper")
	p.Do("record keeper and process")
	p.recordPids()
	p.limitProcess()
	p.Group("keeper")
	p.Do("let the process go on")
	p.signal(p.root)
	p.waitForEnd()

	p.Place(p.initLabel)
	p.Group("namespace")
	p.dieWithKeeper()
	p.join(false)
	p.Group("namespace")
	p.Do("wait for limits")
	p.await(p.root)
	p.Do("enter the container's namespaces")
	flags := uint64(0)
	for _, n := range in.Spec.Linux.Namespaces {
		flags |= enterFlags[n.Type]
	}
	p.Call("setns", linux.SysSetns, pidfd, program.Flags(flags, "all its namespaces"))
	p.becomeRoot()
	p.Do("start a session")
	p.Call("setsid", linux.SysSetsid)
	if in.Spec.Process.Terminal {
		p.console(false)
	}
	p.Do("open the root")
	root := p.Slot("container-root")
	p.Call("openat", syscall.SYS_OPENAT, program.Flags(fdcwd, "AT_FDCWD"), p.String("/"), program.Flags(linux.OPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, "O_PATH|O_DIRECTORY"), program.Int(0)).To(root)
	p.enterCwd(p.openCwd(root.Value()))
	p.privileges()
	p.execute()
	prog, err := p.Assemble()
	if err != nil {
		return nil, err
	}
	return prog, p.err
}
