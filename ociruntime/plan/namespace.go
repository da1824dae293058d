package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/guest"
	"berth/ociruntime/plan/netdevice"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hasNew says whether the spec asks for a new namespace of a kind.
func (p *planner) hasNew(kind specs.LinuxNamespaceType) bool {
	return p.has(kind) && p.joined(kind) == nil
}

// joined returns the file of a namespace that exists already, or nil.
func (p *planner) joined(kind specs.LinuxNamespaceType) *program.Arg {
	for i, n := range Joined(p.in.Spec) {
		if n.Type == kind {
			fd := program.Flags(uint64(FDFirstJoin+len(p.in.Joins)+i), "#"+string(kind))
			return &fd
		}
	}
	return nil
}

// enterJoined takes the keeper into the namespaces that exist already, so that
// the init is born in them: it could not enter them from a user namespace of its own.
// The keeper works on with files and on mounts, which they do not change.
func (p *planner) enterJoined() {
	for _, n := range Joined(p.in.Spec) {
		switch {
		case n.Type == specs.UserNamespace: // it would take the host's privileges away
			continue
		case n.Type == specs.MountNamespace: // the host's files are needed, see guest
			continue
		case n.Type == specs.PIDNamespace && p.joined(specs.UserNamespace) != nil: // see cloneInUser
			continue
		}
		p.Do("enter the %s namespace %s", n.Type, n.Path)
		p.Remedy("it must be a namespace of type %s", n.Type)
		p.Call("setns", linux.SysSetns, *p.joined(n.Type), program.Flags(enterFlags[n.Type], string(n.Type)))
	}
}

// cloneInUser clones the init in a user namespace that exists already. A
// process in between enters it: it shares the keeper's memory and files and
// holds it up (vfork(2)), and its child is the keeper's.
func (p *planner) cloneInUser(userns program.Arg, flags uint64, what string) {
	p.Do("clone a process that enters the user namespace")
	between, enter, done := p.Slot("between"), p.Label("enter the user namespace"), p.Label("go on")
	share, exitSignal := uint64(linux.CloneVM|linux.CloneVfork|linux.CloneFiles), uint64(syscall.SIGCHLD)
	if p.in.Handover != nil {
		share, exitSignal = share|linux.CloneParent, 0
	}
	args := p.Words("clone", share, 0, 0, 0, exitSignal, 0, 0, 0, 0, 0, 0)
	p.Call("clone3", linux.SysClone3, args.At(0), program.Flags(88, "88: same memory and files")).To(between)
	p.IfEqual(between.Value(), program.Int(0), enter)
	if p.in.Handover == nil {
		p.Call("waitid", linux.SysWaitid, program.Flags(linux.PPid, "P_PID"), between.Value(), program.Int(0), program.Flags(linux.WExited, "WEXITED"), program.Int(0))
	}
	p.Goto(done)
	p.Place(enter)
	if pids := p.joined(specs.PIDNamespace); pids != nil {
		// Not before: a process that lives there is told the init's number there.
		p.Do("enter the pid namespace")
		p.Call("setns", linux.SysSetns, *pids, program.Flags(linux.CloneNewpid, "CLONE_NEWPID"))
	}
	p.Do("enter the user namespace")
	p.Call("setns", linux.SysSetns, userns, program.Flags(linux.CloneNewuser, "CLONE_NEWUSER"))
	p.Do("clone init")
	p.cloneNow(flags|linux.CloneParent, what)
	p.IfEqual(p.Child().Value(), program.Int(0), p.initLabel)
	p.Call("exit", syscall.SYS_EXIT, program.Int(0))
	p.Place(done)
	failed, there := p.Label("no init"), p.Label("init is there")
	p.IfEqual(p.Child().Value(), program.Int(0), failed)
	p.Goto(there)
	p.Place(failed) // the one in between has said why
	p.Call("exit_group", syscall.SYS_EXIT_GROUP, program.Int(1))
	p.Place(there)
}

// OwnMounts says whether a container gets a mount namespace. Of one that lives in
// that of others an exec needs to know the root, see BuildExec.
func OwnMounts(s *specs.Spec) bool {
	own := func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace && n.Path == "" }
	return slices.ContainsFunc(s.Linux.Namespaces, own)
}

// findHome finds the mount namespace in which a guest is to live.
func (p *planner) findHome() {
	if p.in.Handover == nil || p.in.Rootless || p.userns {
		p.Refuse("linux.namespaces has no new mount namespace: a container shares the mount namespace of others only with root's privileges and without a user namespace")
	}
	if joined := p.joined(specs.MountNamespace); joined != nil {
		p.home = *joined
		return
	}
	p.home = guest.Home(p.Calls)
}

// moveIn takes a guest with all its mounts to where it is to live, and opens its
// working directory there.
func (p *planner) moveIn() program.Slot {
	p.Group("mount")
	root := guest.MoveIn(p.Calls, p.rootFD, p.home)
	if p.in.Spec.Process.Terminal && p.find("/dev/console") == nil {
		guest.OpenConsole(p.Calls, root)
	}
	return p.openCwd(root.Value(), false)
}

// guestPropagation leaves out what would keep a mount from being copied: in the
// tree of a guest nobody can bind anything.
func (p *planner) guestPropagation(m *mount) {
	for i := range m.opt.Propagations {
		if t := &m.opt.Propagations[i].Type; p.guest && *t == linux.MsUnbindable {
			*t = linux.MsPrivate
		}
	}
}

// moveDevices moves network devices of the host into the namespace of a file.
func (p *planner) moveDevices(namespace program.Arg) {
	netdevice.Move(p.Calls, p.in.NetDevices, func(to program.Slot) {
		p.Call("dup", syscall.SYS_DUP, namespace).To(to)
	})
}

// makePairs joins the init's network namespace to bridges, while the init makes
// its mounts; it waits for the root before it uses them.
func (p *planner) makePairs() {
	if len(p.in.Pairs) == 0 {
		return
	}
	p.Group("namespace")
	namespace := p.openProcOfInit("ns/net", syscall.O_RDONLY)
	netdevice.Make(p.Calls, p.in.Pairs, func(to program.Slot) {
		p.Call("dup", syscall.SYS_DUP, namespace.Value()).To(to)
	})
	p.Call("close", syscall.SYS_CLOSE, namespace.Value())
}

// newTime makes a time namespace with its offsets (time_namespaces(7)): they
// can be set only while no process is in it, and the keeper's children are born in it.
func (p *planner) newTime() {
	if !p.hasNew(specs.TimeNamespace) {
		return
	}
	p.Do("new time namespace")
	p.Call("unshare", linux.SysUnshare, program.Flags(linux.CloneNewtime, "CLONE_NEWTIME"))
	var text strings.Builder
	for _, clock := range slices.Sorted(maps.Keys(p.in.Spec.Linux.TimeOffsets)) {
		o := p.in.Spec.Linux.TimeOffsets[clock]
		fmt.Fprintf(&text, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
	}
	if text.Len() == 0 {
		return
	}
	p.Do("set the clocks of the time namespace")
	p.Remedy("linux.timeOffsets takes monotonic and boottime, not before the host's start")
	fd := p.Slot("timens")
	p.Call("openat", syscall.SYS_OPENAT, program.Flags(fdcwd, "AT_FDCWD"), p.String("/proc/self/timens_offsets"), program.Flags(syscall.O_WRONLY|syscall.O_CLOEXEC, "O_WRONLY"), program.Int(0)).To(fd)
	p.Call("write", syscall.SYS_WRITE, fd.Value(), p.Bytes([]byte(text.String()), "offsets"), program.Int(text.Len()))
	p.Call("close", syscall.SYS_CLOSE, fd.Value())
}
