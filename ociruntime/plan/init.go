package plan

import (
	"path"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/attribute"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/plan/netdevice"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	enoent  = syscall.ENOENT
	eexist  = syscall.EEXIST
	enotdir = syscall.ENOTDIR
)

// init is the part that the container's first process runs.
func (p *planner) init() {
	s := p.in.Spec
	p.Group("namespace")
	p.dieWithKeeper()
	p.join(p.hasNew(specs.CgroupNamespace))
	p.Group("namespace")
	p.Do("wait for ids")
	if p.in.Rootless {
		p.awaitCaller()
	} else {
		p.await(p.ids)
	}
	p.becomeRoot()
	attribute.Keyring(p.Calls, p.in.Keyring, true)
	p.Do("start a session")
	p.Call("setsid", linux.SysSetsid)
	p.Do("keep mounts from the host")
	typ := uint64(linux.MsPrivate)
	if p.in.Rootless { // it copies them itself, and some are to hear of the host's
		typ = linux.MsSlave
	}
	p.Call("mount_setattr", linux.SysMountSetattr, program.Flags(fdcwd, "AT_FDCWD"), p.String("/"), program.Flags(linux.AtRecursive, "AT_RECURSIVE"), p.MountAttr(0, 0, typ), program.Flags(call.MountAttrSize, call.PropagationText(typ)))
	p.nameHost()
	if p.hasNew(specs.NetworkNamespace) {
		attribute.Loopback(p.Calls)
		netdevice.SetUp(p.Calls, p.in.NetDevices)
	}
	if p.in.Rootless {
		p.hostRoot()
		p.hostDev()
	}
	p.Group("mount")
	p.makeMounts()
	if p.in.Rootless {
		p.fillDev()
		p.hostBinds()
	}
	proc := p.find("/proc")
	ownProc := proc != nil && proc.kind == newMount
	early := ownProc && len(p.in.Pairs) == 0 // those may be about a device that is still to come
	if early {
		p.sysctls(proc)
	}
	p.Do("wait for root")
	p.await(p.root)
	if !early {
		p.sysctls(proc)
	}
	if len(p.in.Pairs) > 0 {
		p.Group("namespace")
		netdevice.Configure(p.Calls, p.in.Pairs)
		p.Group("mount")
	}
	p.labels = attribute.OpenLabels(p.Calls, s.Process) // while the host's /proc is in view
	p.attachRoot()
	p.attachMounts()
	p.attachDevices()
	if s.Process.Terminal {
		p.console(true)
	}
	if h := p.in.Handover; h != nil && h.Hooks {
		p.awaitHooks()
	}
	if !p.guest {
		p.enterRoot()
	}
	p.maskPaths(s.Linux.MaskedPaths)
	for _, file := range s.Linux.ReadonlyPaths {
		p.Protect(p.rootFD, file)
	}
	cwd := p.openCwd(p.rootFD, true)
	p.finishMounts()
	if s.Root != nil && s.Root.Readonly {
		p.Do("make root read-only")
		p.SetAttr(p.rootFD, false, p.MountAttr(linux.MountAttrRdonly, 0, 0), "ro")
	}
	if p.guest {
		cwd = p.moveIn()
	}
	p.enterCwd(cwd)
	p.privileges()
	p.Execute(p.command(), p.in.Spec.Process.Args, p.in.Spec.Process.Env)
}

// dieWithKeeper asks to be killed when the keeper ends, or whoever hands the
// process over. The kernel forgets it when credentials change, so it is asked
// again at the end.
func (p *planner) dieWithKeeper() {
	p.Do("die with the keeper")
	p.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrSetPdeathsig, "PR_SET_PDEATHSIG"), program.Flags(uint64(syscall.SIGKILL), "SIGKILL"))
}

// join puts the init into its cgroup before it takes any memory of its own,
// and with newView makes that cgroup the root of what it sees. A single-threaded process that
// writes "0" into a tasks file (cgroup v1) moves itself without waiting for
// the kernel's lock over thread groups, which can take 10 ms.
func (p *planner) join(newView bool) {
	p.Group("cgroup")
	for i, name := range p.in.Joins {
		if p.in.IntoCgroup && i == len(p.in.Joins)-1 {
			break
		}
		p.Do("join cgroup %s", name)
		p.Call("write", syscall.SYS_WRITE, program.Int(FDFirstJoin+i), p.String("0"), program.Int(1))
	}
	if newView {
		p.Do("new cgroup namespace")
		p.Call("unshare", linux.SysUnshare, program.Flags(linux.CloneNewcgroup, "CLONE_NEWCGROUP"))
	}
}

// becomeRoot takes id 0 of the user namespace: until then the process has an
// id that does not exist there and could not make a file.
func (p *planner) becomeRoot() {
	if !p.userns {
		return
	}
	p.Do("become root of the user namespace")
	zero := program.Int(0)
	p.Call("setresgid", linux.SysSetresgid, zero, zero, zero)
	p.dropGroups(p.Call("setgroups", linux.SysSetgroups, zero, zero))
	p.Call("setresuid", linux.SysSetresuid, zero, zero, zero)
	p.dieWithKeeper()
	// The change made the memory of the program readable for the new root.
	p.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrSetDumpable, "PR_SET_DUMPABLE"), zero)
}

// dropGroups lets a rootless container keep the groups of its maker where it may
// not change them: a user without a range of group ids (user_namespaces(7)).
func (p *planner) dropGroups(setgroups *program.Step) {
	if p.in.Rootless && len(p.in.Spec.Process.User.AdditionalGids) == 0 {
		setgroups.Tolerate(syscall.EPERM)
	}
}

func (p *planner) nameHost() {
	s := p.in.Spec
	if s.Hostname == "" && s.Domainname == "" {
		return
	}
	if !p.has(specs.UTSNamespace) {
		p.Refuse("hostname %q needs a new uts namespace", s.Hostname)
		return
	}
	attribute.Names(p.Calls, s.Hostname, s.Domainname)
}

// sysctls writes kernel parameters through a proc mount that nobody else has
// touched yet, a new one if the container has none.
func (p *planner) sysctls(proc *mount) {
	if len(p.in.Spec.Linux.Sysctl) == 0 {
		return
	}
	var fd program.Arg
	if proc != nil && (proc.Type == "proc" || proc.Source == "/proc") {
		fd = proc.fd
	} else {
		p.Do("make a proc for kernel parameters")
		own := p.Slot("own-proc")
		p.NewMount("proc", "proc", nil, linux.MountAttrNosuid|linux.MountAttrNodev|linux.MountAttrNoexec, own)
		fd = own.Value()
	}
	attribute.Sysctls(p.Calls, fd, p.in.Spec.Linux.Sysctl)
}

// attachRoot mounts the root over this process's "/", or for hooks where the
// bundle says it is: they look for it there.
func (p *planner) attachRoot() {
	at := "/"
	if h := p.in.Handover; h != nil && h.Hooks {
		at = p.in.Spec.Root.Path
	}
	p.Do("attach the root")
	p.Call("move_mount", linux.SysMoveMount, p.rootFD, p.String(""), program.Flags(fdcwd, "AT_FDCWD"), p.String(at), program.Flags(linux.MoveMountFEmpty, "F_EMPTY_PATH"))
}

// enterRoot makes the root this process's "/". The old root is let go at once
// (pivot_root(2), "pivot_root(".", ".")").
func (p *planner) enterRoot() {
	p.Group("mount")
	p.Do("enter the root")
	dot := p.String(".")
	p.Call("fchdir", linux.SysFchdir, p.rootFD)
	if h := p.in.Handover; h != nil && h.NoPivot {
		// The root of an initramfs cannot be exchanged: it is covered (mount(2), MS_MOVE).
		p.Call("mount", syscall.SYS_MOUNT, dot, p.String("/"), program.Int(0), program.Flags(syscall.MS_MOVE, "MS_MOVE"), program.Int(0))
		p.Call("chroot", syscall.SYS_CHROOT, dot)
		p.Call("chdir", syscall.SYS_CHDIR, p.String("/"))
		return
	}
	p.Call("pivot_root", linux.SysPivotRoot, dot, dot)
	p.Do("let go of the host's mounts")
	p.Call("umount2", linux.SysUmount2, dot, program.Flags(linux.MntDetach, "MNT_DETACH"))
}

// maskPaths hides files behind the fresh /dev/null and directories behind an
// empty one. What does not exist needs no mask.
func (p *planner) maskPaths(paths []string) {
	if len(paths) == 0 {
		return
	}
	null := p.nullFD
	if p.ownDev {
		// Not by the path /dev/null, which an image or a racing container could change (CVE-2025-31133).
		p.Do("open the container's null device")
		fd := p.Slot("null")
		null = fd.Value()
		p.Call("openat", syscall.SYS_OPENAT, p.devFD, p.String("null"), program.Flags(linux.OPath|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, "O_PATH|O_NOFOLLOW"), program.Int(0)).To(fd)
	}
	masks := call.Masks{Root: p.rootFD, Null: null, Attached: p.ownDev, Empty: labelled([]string{"mode=0755", "size=4k", "nr_inodes=2"}, p.in.Spec.Linux.MountLabel)}
	for _, file := range paths {
		p.Mask(masks, file)
	}
}

// console makes a terminal in the container's own devpts. The daemon's end
// stays in the file table that the keeper shares.
func (p *planner) console(bindConsole bool) {
	p.Group("terminal")
	master, slave := p.OpenTerminal(p.devpts(), p.in.Width, p.in.Height)
	u := p.in.Spec.Process.User
	p.Do("make the terminal this session's")
	p.Call("fchown", linux.SysFchown, slave.Value(), program.Int(int(u.UID)), program.Flags(1<<32-1, "-1"))
	p.Call("ioctl", syscall.SYS_IOCTL, slave.Value(), program.Flags(linux.Tiocsctty, "TIOCSCTTY"), program.Int(0))
	if p.in.Handover == nil {
		p.Call("dup3", linux.SysDup3, master.Value(), program.Int(FDStdin), program.Int(0))
	} else {
		p.Do("send the terminal to the console socket")
		p.SendFile(program.Int(FDConsole), "/dev/pts/ptmx", master, program.Int(p.fixed(fdMaster))) // the text is runc's
	}
	if bindConsole && p.find("/dev/console") == nil {
		p.bindConsole(slave)
	}
	p.Do("connect standard files to the terminal")
	for fd := range 3 {
		p.Call("dup3", linux.SysDup3, slave.Value(), program.Int(fd), program.Int(0))
	}
}

// bindConsole shows the terminal at /dev/console.
func (p *planner) bindConsole(slave program.Slot) {
	p.Do("bind the terminal at /dev/console")
	cover := p.Slot("console")
	if !p.ownDev {
		p.Remedy("it must be a file, or nothing")
		at := p.PlaceIn(p.rootFD, "/dev/console", p.How(true), false, nil)
		p.ClonePath(slave.Value(), "", false, cover)
		p.Move(cover.Value(), at)
		return
	}
	p.Call("mknodat", linux.SysMknodat, p.devFD, p.String("console"), program.Flags(linux.SIfreg|0o620, "S_IFREG|0620"), program.Int(0))
	p.ClonePath(slave.Value(), "", false, cover)
	p.Call("move_mount", linux.SysMoveMount, cover.Value(), p.String(""), p.devFD, p.String("console"), program.Flags(linux.MoveMountFEmpty, "F_EMPTY_PATH"))
}

// openCwd opens the working directory inside the root, through no magic link:
// /proc/self/fd/N as a working directory leaves nobody's root (CVE-2024-21626).
// With mk it is made if it is missing, as other runtimes do.
func (p *planner) openCwd(root program.Arg, mk bool) program.Slot {
	cwd := p.in.Spec.Process.Cwd
	if !path.IsAbs(cwd) {
		p.Refuse("process.cwd %q is not an absolute path", cwd)
	}
	p.Group("privilege")
	p.Do("open working directory %s", cwd)
	p.Remedy("it must be a directory of the image: choose another")
	how := p.OpenHow(linux.OPath|syscall.O_DIRECTORY, linux.ResolveInRoot|linux.ResolveNoMagic, "O_PATH|O_DIRECTORY IN_ROOT")
	if mk && path.Clean(cwd) != "/" {
		return p.PlaceIn(root, path.Clean(cwd), how, true, nil)
	}
	fd := p.Slot("cwd")
	p.OpenIn(root, cwd, how, fd)
	return fd
}

func (p *planner) enterCwd(fd program.Slot) {
	p.Group("privilege")
	p.Do("enter working directory %s", p.in.Spec.Process.Cwd)
	p.Call("fchdir", linux.SysFchdir, fd.Value())
}
