// Package plan compiles an OCI runtime spec into the list of system calls that
// builds the container and executes its command.
//
// It is pure: a plan depends on its [Input] alone. Two processes run one plan.
// The keeper stays on the host: it clones the container's init, maps its user
// ids, prepares what needs the host's privileges (the idmapped root, binds,
// devices), sets its limits, and later records how it ended. The init
// builds the container around itself and ends in execve. Both share one table
// of open files until the init takes its own, just before execve, so that what
// one opens the other can use.
//
//	keeper                               init
//	clone ------------------------------> wait for ids
//	map ids  --------------- ids -------> become root of the user namespace
//	root                                  cgroup, hostname, loopback, proc, ...
//	devices, limits <------- made ------- /dev, then the others
//	binds  <---------------- made -------
//	         --------------- root ------> root, mounts, masks, console
//	wait for ready  <------- ready ------ privileges
//	wait for the end                      execve
//
// Where nobody stays (Handover) the keeper ends instead of waiting, and the
// init may wait before execve until it is told to start. There a container may
// also live in the mount namespace of others, see guest.
//
// Level: R.
// Owns: what is done in which order to make a container.
// May import: ociruntime/program, internal/linux.
// Must not know: how a program is started, the state on disk.
package plan

import (
	"fmt"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/attribute"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/plan/netdevice"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The open files that a plan starts with, as in keeper.go. Files of the steps'
// own come after them.
const (
	FDVerdict   = program.VerdictFD // end of the verdict pipe
	FDRunDir    = 4                 // directory of the keeper's records
	FDNotifyR   = 5                 // pipe that says "the exit is recorded"
	FDNotifyW   = 6
	FDStdin     = 7  // the daemon's end of standard input, or the console
	FDStdout    = 8  // the daemon's ends of the outputs
	FDStderr    = 9  //
	FDDevpts    = 10 // the container's devpts, for terminals of later execs
	FDNull      = 11 // /dev/null
	FDFirstJoin = 12 // cgroup files of Input.Joins
)

// The same numbers where no keeper stays, see Handover.
const (
	FDStart   = FDNotifyR // a byte read from here lets the init go on
	FDStarted = FDNotifyW // takes the verdict's place while it waits
	FDSeccomp = FDStdin   // unix socket for a seccomp listener's number
	FDConsole = FDStdout  // unix socket that gets the terminal's master
	FDHooks   = FDStderr  // a byte written here asks for hooks, one read says that they ran
)

// Files of the steps that need a number known in advance, see planner.fixed.
const (
	fdPollInit = iota
	fdPollReady
	fdPollMade
	fdUserns
	fdMaster  // the terminal's, handed over
	fdDevpts  // FDDevpts, handed over: there the low numbers are not all taken
	fdSeccomp // where these four go if the command gets files at their numbers
	fdVerdict
	fdStart
	fdStarted
	fdShared // first of the files that the keeper opens for the init
)

// manyMounts is how many mounts may pass the usual limit of open files.
const manyMounts = 32

// fixed is a number known in advance. It is above all that either process has
// open while the keeper may still put a file there.
func (p *planner) fixed(n int) int {
	return 200 + 3*len(p.in.Spec.Mounts) + p.in.Preserved() + n
}

// devpts is where the container's devpts is kept for its terminals.
func (p *planner) devpts() program.Arg {
	if p.in.Handover != nil {
		return program.Flags(uint64(p.fixed(fdDevpts)), "#devpts")
	}
	return program.Int(FDDevpts)
}

// fdcwd is AT_FDCWD as a system call's argument.
const fdcwd = uint64(1<<32 + linux.AtFdcwd)

// Input is all that a plan depends on.
type Input struct {
	Spec *specs.Spec
	// Rootfs is the root to mount; nil: Spec.Root.Path is bound.
	Rootfs *linux.Overlay
	// File is what to execute; empty: Process.Args[0], along PATH if it is a bare name.
	File string
	// Width and Height are the terminal's first size in cells.
	Width, Height uint16
	// Filter is the compiled seccomp profile in the kernel's struct
	// sock_filter layout, empty for none; FilterFlags are seccomp(2)'s.
	Filter      []byte
	FilterFlags uint64
	// Joins name the cgroup hierarchies whose tasks files are open from
	// FDFirstJoin on. IntoCgroup: the last is a directory for CLONE_INTO_CGROUP
	// instead.
	Joins      []string
	IntoCgroup bool
	// CgroupDirs are the container's directories in each cgroup hierarchy,
	// shown below a cgroup mount. One with an empty name is the unified tree.
	CgroupDirs []CgroupDir
	// NotDir holds the sources of binds that are no directories.
	NotDir map[string]bool
	// AttachedLayers is set where overlayfs takes no layers from a detached mount
	// (before Linux 6.15).
	AttachedLayers bool
	// BindDevices: no device node can be made, so the host's are bound.
	BindDevices bool
	// LastCap is the highest capability that the kernel knows.
	LastCap int
	// Available are the capabilities that can be given where there is no user
	// namespace, a bit each: this process's own. 0 is all.
	Available uint64
	// KeepPrivileges leaves a process in a container all that its root has: for hooks.
	KeepPrivileges bool
	// NetDevices are moved into the container's network namespace.
	NetDevices []netdevice.Device
	// Pairs join the container's new network namespace to bridges of the host.
	Pairs []netdevice.Pair
	// Keyring is the name of the session keyring, new for a container, joined by an
	// exec; empty leaves the caller's.
	Keyring string
	// Rootless: whoever makes the container is no root, so that the init makes all
	// mounts with the privileges of its own user namespace. The caller maps its
	// ids, with the help of newuidmap(1), and then writes a byte to FDHooks.
	Rootless bool
	// Handover is set for a process that no keeper stays with.
	Handover *Handover
}

// Handover says how a process is made that its maker leaves to whoever called,
// as runc does. The init is the caller's child, and the keeper, here called the
// builder, ends when its part is done. The verdict's first message is the init's pid.
type Handover struct {
	// Wait: the init waits at FDStart before it runs the command; the verdict ends
	// there, and what fails after it is reported to FDStarted.
	Wait bool
	// Hooks: once all is mounted below Spec.Root.Path the init asks at FDHooks for
	// the hooks that come before the root changes.
	Hooks bool
	// Preserve is how many files, open from FDFirstJoin and those of joins and
	// namespaces on, the command gets as its descriptors 3, 4, ...
	Preserve int
	// NoPivot changes the root by chroot(2), for a host whose root is the initramfs.
	NoPivot bool
}

// Preserved is how many files the command gets besides the standard ones.
func (in Input) Preserved() int {
	if in.Handover == nil {
		return 0
	}
	return in.Handover.Preserve
}

// Joined are the spec's namespaces that exist already. Their files are open
// after those of Joins, in this order.
func Joined(s *specs.Spec) (joined []specs.LinuxNamespace) {
	for _, n := range s.Linux.Namespaces {
		if n.Path != "" {
			joined = append(joined, n)
		}
	}
	return joined
}

// CgroupDir is a directory of the container in a cgroup hierarchy.
type CgroupDir struct {
	Name string // as shown in the container: "memory", "cpu,cpuacct"
	Path string // on the host
	// Root, if set, is the root of the hierarchy on the host, which a container
	// without a cgroup namespace is shown instead.
	Root string
}

// Build compiles the plan of a container.
func Build(in Input) (*program.Program, error) {
	p, err := newPlanner(in)
	if err != nil {
		return nil, err
	}
	if len(in.Pairs) > 0 && (in.Rootless || !p.hasNew(specs.NetworkNamespace)) {
		p.Refuse("a network needs a new network namespace, and root's privileges to make devices")
	}
	if len(in.NetDevices) > 0 && (in.Rootless || !p.has(specs.NetworkNamespace)) {
		p.Refuse("linux.netDevices needs a network namespace, and root's privileges to move a device there")
	}
	p.planDevices()
	p.clone()
	p.keep()
	p.Place(p.initLabel)
	p.init()
	return p.Assemble()
}

// planner carries what the parts of a plan share.
type planner struct {
	*call.Calls
	in        Input
	userns    bool
	guest     bool // without a mount namespace of its own
	home      program.Arg
	exec      bool
	mounts    []*mount
	initLabel *program.Label

	ids, made, root, ready program.Slot // eventfds
	polled                 bool         // the files of awaitMade have their numbers
	pidfd                  program.Slot
	rootFD, devFS, devFD   program.Arg
	files                  program.Buffer // the inherited limit of open files, if it was raised
	nullFD                 program.Arg    // for masks, where the container has no /dev of its own
	ownDev                 bool           // it has
	devices                []device
	shared                 int            // how many shared files have a number
	word                   program.Buffer // where eventfds are read to
	one                    program.Arg    // what is written to them
	copyUps                int            // how many of CopyUps have a mount
	labels                 attribute.Labels
	idspaces               map[string]program.Slot // user namespaces made for maps of mounts
}

func newPlanner(in Input) (*planner, error) {
	if in.Spec.Process == nil || len(in.Spec.Process.Args) == 0 {
		return nil, fmt.Errorf("process.args is empty: name a command")
	}
	if in.Spec.Linux == nil {
		in.Spec.Linux = &specs.Linux{}
	}
	b := call.New()
	p := &planner{
		Calls: b, in: in, initLabel: b.Label("init"),
		ids: b.Slot("ids"), made: b.Slot("made"), root: b.Slot("root-ready"), ready: b.Slot("ready"),
		pidfd: b.Slot("pidfd"),
		word:  b.Words("word", 0), one: b.Bytes([]byte{1, 0, 0, 0, 0, 0, 0, 0}, "1"),
		idspaces: map[string]program.Slot{},
	}
	p.rootFD, p.devFS, p.devFD = p.share("root"), p.share("dev-fs"), p.share("dev")
	p.userns, p.guest = p.has(specs.UserNamespace), !OwnMounts(in.Spec)
	for _, m := range in.Spec.Mounts {
		pm, err := p.parseMount(m)
		if err != nil {
			return nil, err
		}
		p.guestPropagation(pm)
		p.mounts = append(p.mounts, pm)
	}
	return p, nil
}

// share gives a number to a file that the keeper opens for the init. They share
// files but no memory, so the init must know the number beforehand.
func (p *planner) share(name string) program.Arg {
	p.shared++
	return program.Flags(uint64(p.fixed(fdShared+p.shared-1)), "#"+name)
}

// publish puts the keeper's file of a slot at its shared number.
func (p *planner) publish(fd program.Slot, number program.Arg) {
	p.Call("dup3", linux.SysDup3, fd.Value(), number, program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"))
	p.Call("close", syscall.SYS_CLOSE, fd.Value())
}

// has says whether the spec asks for a kind of namespace.
func (p *planner) has(kind specs.LinuxNamespaceType) bool {
	for _, n := range p.in.Spec.Linux.Namespaces {
		if n.Type == kind {
			return true
		}
	}
	return false
}
