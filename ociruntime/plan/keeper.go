package plan

import (
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/netdevice"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Field widths of the keeper's records; see keeper.go in lifecycle, which reads them.
const (
	keeperRecord = `{"keeper":          ,"init":          }` + "\n"
	exitRecord   = `{"cause":   ,"status":    ,"started":            ,"started_ns":          ,"finished":            ,"finished_ns":          }` + "\n"
)

var cloneFlags = map[specs.LinuxNamespaceType]uint64{
	specs.UserNamespace:    linux.CloneNewuser,
	specs.MountNamespace:   linux.CloneNewns,
	specs.PIDNamespace:     linux.CloneNewpid,
	specs.NetworkNamespace: linux.CloneNewnet,
	specs.IPCNamespace:     linux.CloneNewipc,
	specs.UTSNamespace:     linux.CloneNewuts,
}

// enterFlags are the namespaces that setns(2) enters. That of pids and that of
// time it enters for children only.
var enterFlags = map[specs.LinuxNamespaceType]uint64{
	specs.PIDNamespace:     linux.CloneNewpid,
	specs.TimeNamespace:    linux.CloneNewtime,
	specs.UserNamespace:    linux.CloneNewuser,
	specs.MountNamespace:   linux.CloneNewns,
	specs.NetworkNamespace: linux.CloneNewnet,
	specs.IPCNamespace:     linux.CloneNewipc,
	specs.UTSNamespace:     linux.CloneNewuts,
	specs.CgroupNamespace:  linux.CloneNewcgroup,
}

// clone starts the init in its new namespaces. The cgroup namespace comes
// later: its root is where the init is when it is made.
func (p *planner) clone() {
	p.prepareKeeper()
	flags := uint64(0)
	var names []string
	for _, n := range p.in.Spec.Linux.Namespaces {
		if enterFlags[n.Type] == 0 {
			p.Refuse("namespace of type %q is not supported", n.Type)
		}
		if n.Path != "" || cloneFlags[n.Type] == 0 {
			continue
		}
		flags |= cloneFlags[n.Type]
		names = append(names, string(n.Type))
	}
	p.Group("namespace")
	if p.guest {
		flags |= linux.CloneNewns
		names = append(names, "passing mount")
		p.findHome()
	}
	joined := p.joined(specs.NetworkNamespace)
	if joined != nil {
		p.moveDevices(*joined)
	}
	p.enterJoined()
	if joined != nil {
		netdevice.SetUp(p.Calls, p.in.NetDevices)
	}
	p.newTime()
	p.cloneInit(flags, "new "+strings.Join(names, ", ")+" namespaces")
}

// prepareKeeper is the keeper's part before it has a child.
func (p *planner) prepareKeeper() {
	p.Group("keeper")
	p.Do("block signals")
	all := p.Bytes([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "all")
	p.Call("rt_sigprocmask", linux.SysSignalMask, program.Flags(2, "SIG_SETMASK"), all, program.Int(0), program.Int(8))
	p.Do("take the default of signals that the daemon's parent may ignore")
	action := p.Bytes(make([]byte, 32), "SIG_DFL")
	for _, s := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
		32, // glibc's own: its posix_spawn leaves it ignored, so that everything below make has it
	} {
		p.Call("rt_sigaction", syscall.SYS_RT_SIGACTION, program.Int(int(s)), action, program.Int(0), program.Int(8))
	}
	p.scoreSelf()
	p.Do("name the keeper")
	p.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrSetName, "PR_SET_NAME"), p.String("berth-keeper"))
	if !p.in.Rootless || p.exec {
		// Nothing of the program can be read or traced from inside the container. A
		// rootless init does it later: newuidmap(1) wants it to be the user's.
		p.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrSetDumpable, "PR_SET_DUMPABLE"), program.Int(0))
	}
	// Modes below are meant as they stand.
	p.Call("umask", linux.SysUmask, program.Int(0))
	if p.manyFiles() {
		p.raiseFiles()
	}
	p.Do("make signals between keeper and init")
	for _, s := range []program.Slot{p.ids, p.root, p.ready} {
		if s != p.ready || p.in.Handover == nil { // where nobody stays, nobody waits for ready
			p.Call("eventfd2", linux.SysEventfd2, program.Int(0), program.Flags(syscall.O_CLOEXEC, "EFD_CLOEXEC")).To(s)
		}
	}
	if !p.in.Rootless && !p.exec && (p.ownDev || p.lateBinds()) {
		flags := program.Flags(syscall.O_CLOEXEC|syscall.O_NONBLOCK|linux.EfdSemaphore, "EFD_CLOEXEC|EFD_NONBLOCK|EFD_SEMAPHORE")
		p.Call("eventfd2", linux.SysEventfd2, program.Int(0), flags).To(p.made)
	}
}

func (p *planner) cloneInit(flags uint64, what string) {
	if joined := p.joined(specs.UserNamespace); joined != nil {
		p.cloneInUser(*joined, flags, what)
		return
	}
	p.cloneChild(flags, what)
}

// cloneChild clones the init as a child of this process or, handed over, of the caller.
func (p *planner) cloneChild(flags uint64, what string) {
	p.Do("clone init")
	p.Remedy("see the limits in /proc/sys/user and the kernel's log")
	if p.in.Handover != nil {
		flags |= linux.CloneParent
	}
	p.cloneNow(flags, what)
	p.IfEqual(p.Child().Value(), program.Int(0), p.initLabel)
}

// cloneNow clones the init. struct clone_args (clone3(2)): flags, pidfd,
// child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
// set_tid_size, cgroup.
func (p *planner) cloneNow(flags uint64, what string) {
	flags |= linux.CloneFiles | linux.ClonePidfd
	exitSignal, cgroup := uint64(syscall.SIGCHLD), uint64(0)
	if flags&linux.CloneParent != 0 {
		exitSignal = 0 // that of the caller
	}
	if p.in.IntoCgroup {
		flags |= linux.CloneIntoCgroup
		cgroup = uint64(FDFirstJoin + len(p.in.Joins) - 1)
		what += " in its cgroup"
	}
	args := p.Words("clone", flags, p.pidfd.Pointer(), 0, 0, exitSignal, 0, 0, 0, 0, 0, cgroup)
	p.Call("clone3", linux.SysClone3, args.At(0), program.Flags(88, "88: "+what)).To(p.Child())
}

// keep is the keeper's part after the clone.
func (p *planner) keep() {
	gone := p.Label("init is gone")
	p.Group("keeper")
	p.Do("record keeper and init")
	p.recordPids()
	if !p.in.Rootless {
		p.mapIDs()
		if len(p.in.NetDevices) > 0 && p.hasNew(specs.NetworkNamespace) {
			p.moveDevices(p.openProcOfInit("ns/net", syscall.O_RDONLY).Value())
		}
		p.Group("mount")
		p.filesAs(p.hostRootID(), p.hostRootGID())
		p.hostDev()
		p.Group("keeper")
		p.Do("let init go on: ids")
		p.signal(p.ids)
		p.makePairs()
		p.hostRoot()
		p.awaitMade(p.ownDev, gone)
		p.fillDev()
		p.filesAs(0, 0)
	}
	p.limitProcess()
	if !p.in.Rootless {
		p.awaitMade(p.lateBinds(), gone)
		p.hostBinds()
	}
	p.Group("keeper")
	p.Do("let init go on: root")
	p.signal(p.root)
	p.Place(gone)
	p.leave()
}

// awaitMade waits for the init, whose mounts come before the keeper's next ones:
// since Linux 6.8 a mount table is in the order in which the mounts were made, and
// it is to be that of the spec. An init that ends instead is gone.
func (p *planner) awaitMade(needed bool, gone *program.Label) {
	if !needed {
		return
	}
	p.Group("keeper")
	p.Do("wait for init's mounts")
	cloexec := program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC")
	if !p.polled {
		p.polled = true
		p.Call("dup3", linux.SysDup3, p.made.Value(), program.Int(p.fixed(fdPollMade)), cloexec)
		if p.in.Handover != nil {
			p.Call("dup3", linux.SysDup3, p.pidfd.Value(), program.Int(p.fixed(fdPollInit)), cloexec)
		}
	}
	p.Call("ppoll", linux.SysPpoll, p.pollInit(fdPollMade).At(0), program.Int(2), program.Int(0), program.Int(0), program.Int(8))
	n := p.Slot("made-or-gone")
	p.Call("read", syscall.SYS_READ, p.made.Value(), p.word.At(0), program.Int(8)).To(n).Tolerate(syscall.EAGAIN)
	p.IfEqual(n.Value(), program.Errno(syscall.EAGAIN), gone)
}

// pollInit is a list of two struct pollfd, {int fd; short events, revents}, a word
// each: the init and a file with a known number. The init's death counts too: a
// failed one never says that it is ready.
func (p *planner) pollInit(file int) program.Buffer {
	const pollin = 1 << 32
	return p.Words("poll", uint64(p.fixed(fdPollInit))|pollin, uint64(p.fixed(file))|pollin)
}

// leave is the end of the keeper's work on the init: it stays until that has
// ended, or goes.
func (p *planner) leave() {
	if p.in.Handover == nil {
		p.waitForEnd()
		return
	}
	p.Do("leave the init to the caller")
	p.Call("exit_group", syscall.SYS_EXIT_GROUP, program.Int(0))
}

// recordPids writes both pids for a daemon that adopts the container, and gives
// the files that waitForEnd polls their numbers.
func (p *planner) recordPids() {
	if p.in.Handover != nil {
		p.recordInit()
		return
	}
	p.Call("dup3", linux.SysDup3, p.pidfd.Value(), program.Int(p.fixed(fdPollInit)), program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"))
	p.Call("dup3", linux.SysDup3, p.ready.Value(), program.Int(p.fixed(fdPollReady)), program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"))
	rec := p.Buffer("pids", []byte(keeperRecord))
	self := p.Slot("self")
	p.Call("getpid", syscall.SYS_GETPID).To(self)
	p.Decimal(self.Value(), rec.At(strings.Index(keeperRecord, ",")))
	p.Decimal(p.Child().Value(), rec.At(strings.Index(keeperRecord, "}")))
	p.writeRecord("keeper", rec, len(keeperRecord))
}

// writeRecord writes a record beside its name and renames it into place.
func (p *planner) writeRecord(name string, rec program.Buffer, n int) {
	fd := p.Slot(name + "-record")
	// Not constants: the keeper has none left in the end.
	final := p.Buffer(name+"-name", []byte(name+"\x00")).At(0)
	fresh := p.Buffer(name+"-new", []byte(name+".new\x00")).At(0)
	flags := uint64(syscall.O_WRONLY | syscall.O_CREAT | syscall.O_TRUNC | syscall.O_CLOEXEC)
	p.Call("openat", syscall.SYS_OPENAT, program.Int(FDRunDir), fresh, program.Flags(flags, "O_WRONLY|O_CREAT|O_TRUNC"), program.Flags(0o600, "0600")).To(fd)
	p.Call("write", syscall.SYS_WRITE, fd.Value(), rec.At(0), program.Int(n))
	p.Call("close", syscall.SYS_CLOSE, fd.Value())
	p.Call("renameat2", linux.SysRenameat2, program.Int(FDRunDir), fresh, program.Int(FDRunDir), final, program.Int(0))
}

// mapIDs writes the init's id maps, which only a process outside may do for
// more than one id (user_namespaces(7)).
func (p *planner) mapIDs() {
	if !p.hasNew(specs.UserNamespace) {
		return
	}
	p.Group("namespace")
	write := func(file string, maps []specs.LinuxIDMapping) {
		if len(maps) == 0 {
			p.Refuse("linux.namespaces asks for a user namespace, but %s is empty", file)
			return
		}
		first, text := maps[0], mapText(maps)
		p.Do("map %s %d to %d, %d ids", file[:3], first.ContainerID, first.HostID, first.Size)
		fd := p.openProcOfInit(file, syscall.O_WRONLY)
		p.Call("write", syscall.SYS_WRITE, fd.Value(), p.Bytes([]byte(text), "map"), program.Int(len(text)))
		p.Call("close", syscall.SYS_CLOSE, fd.Value())
	}
	write("uid_map", p.in.Spec.Linux.UIDMappings)
	write("gid_map", p.in.Spec.Linux.GIDMappings)
}

// openProcOfInit opens /proc/PID/name of the init.
func (p *planner) openProcOfInit(name string, flags int) program.Slot {
	return p.OpenProcOf(p.Child(), name, flags)
}

// waitForEnd records how the init ended and then holds the pipes until the
// daemon has read them and kills the keeper.
func (p *planner) waitForEnd() {
	p.Group("keeper")
	p.Do("wait until init has its own files")
	p.Call("ppoll", linux.SysPpoll, p.pollInit(fdPollReady).At(0), program.Int(2), program.Int(0), program.Int(0), program.Int(8))

	rec := p.Buffer("exit-record", []byte(exitRecord))
	p.Do("let go of the container's files")
	p.stamp(rec, "started")
	for fd := range 3 {
		p.Call("dup3", linux.SysDup3, program.Int(FDNull), program.Int(fd), program.Int(0))
	}
	p.Call("close", syscall.SYS_CLOSE, program.Int(FDVerdict))
	p.Call("close_range", linux.SysCloseRange, program.Int(FDFirstJoin), program.Flags(1<<32-1, "~0"), program.Int(0))

	alone := p.Label("alone")
	p.Do("let go of the program's other steps")
	p.Place(alone)
	p.ForgetAllBut(alone, p.initLabel)
	p.Do("wait for init to end")
	// siginfo_t (sigaction(2)): si_code at 8, si_status at 24; the padding
	// after each is zero, so a word read there is the number.
	info := p.Words("siginfo", make([]uint64, 16)...)
	// Zero takes the place of the pid: now it may be another's, whom no failing
	// step below must kill.
	p.Call("waitid", linux.SysWaitid, program.Flags(linux.PPid, "P_PID"), p.Child().Value(), info.At(0), program.Flags(linux.WExited, "WEXITED"), program.Int(0)).To(p.Child())
	p.Do("record how init ended")
	p.Decimal(info.Slot(8).Value(), rec.At(fieldEnd(exitRecord, "cause")))
	p.Decimal(info.Slot(24).Value(), rec.At(fieldEnd(exitRecord, "status")))
	p.stamp(rec, "finished")
	p.writeRecord("exit", rec, len(exitRecord))
	p.Call("write", syscall.SYS_WRITE, program.Int(FDNotifyW), rec.At(0), program.Int(1))
	p.Do("hold the output until it is read")
	p.Call("ppoll", linux.SysPpoll, program.Int(0), program.Int(0), program.Int(0), program.Int(0), program.Int(8))
}

// stamp prints the wall-clock time into two fields of the record.
func (p *planner) stamp(rec program.Buffer, field string) {
	now := p.Words(field+"-time", 0, 0)
	p.Call("clock_gettime", linux.SysClockGettime, program.Flags(linux.ClockRealtime, "CLOCK_REALTIME"), now.At(0))
	p.Decimal(now.Slot(0).Value(), rec.At(fieldEnd(exitRecord, field)))
	p.Decimal(now.Slot(8).Value(), rec.At(fieldEnd(exitRecord, field+"_ns")))
}

// signal wakes the other process; await waits for it.
func (p *planner) signal(fd program.Slot) {
	p.Call("write", syscall.SYS_WRITE, fd.Value(), p.one, program.Int(8))
}

func (p *planner) await(fd program.Slot) {
	p.Call("read", syscall.SYS_READ, fd.Value(), p.word.At(0), program.Int(8))
}
