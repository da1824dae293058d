package plan

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

type mountKind int

const (
	newMount    mountKind = iota // a new file system that the init makes
	bindMount                    // a copy of a host mount that the keeper makes
	devMount                     // the container's /dev, made by the keeper
	cgroupMount                  // the container's cgroup directories
)

// mount is a mount of the spec, with its options sorted out.
type mount struct {
	specs.Mount
	kind      mountKind
	set, clr  uint64   // mount attributes
	prop      uint64   // propagation, 0 for the default (private)
	data      []string // options of the file system
	recursive bool
	idmap     bool
	fd        program.Arg   // where the init finds it
	slot      program.Slot  // where the init makes it
	cgroups   []program.Arg // one for each Input.CgroupDirs
}

func (m *mount) propagation() uint64 {
	if m.prop != 0 {
		return m.prop
	}
	return linux.MsPrivate
}

// attribute is what a mount option does to the attributes of mount_setattr(2).
type attribute struct{ set, clr uint64 }

var attributes = map[string]attribute{
	"ro": {set: linux.MountAttrRdonly}, "rw": {clr: linux.MountAttrRdonly},
	"nosuid": {set: linux.MountAttrNosuid}, "suid": {clr: linux.MountAttrNosuid},
	"nodev": {set: linux.MountAttrNodev}, "dev": {clr: linux.MountAttrNodev},
	"noexec": {set: linux.MountAttrNoexec}, "exec": {clr: linux.MountAttrNoexec},
	"nodiratime": {set: linux.MountAttrNodiratim}, "diratime": {clr: linux.MountAttrNodiratim},
	"nosymfollow": {set: linux.MountAttrNosymf}, "symfollow": {clr: linux.MountAttrNosymf},
	"noatime":     {set: linux.MountAttrNoatime, clr: linux.MountAttrAtimeMask},
	"strictatime": {set: linux.MountAttrStrict, clr: linux.MountAttrAtimeMask},
	"relatime":    {clr: linux.MountAttrAtimeMask}, "norelatime": {}, "nostrictatime": {}, "defaults": {}, "async": {},
}

var propagations = map[string]uint64{
	"private": linux.MsPrivate, "rprivate": linux.MsPrivate, "slave": linux.MsSlave, "rslave": linux.MsSlave,
	"shared": linux.MsShared, "rshared": linux.MsShared, "unbindable": linux.MsUnbindable, "runbindable": linux.MsUnbindable,
}

// parseMount sorts the options of a mount of the spec.
func (p *planner) parseMount(sm specs.Mount) (*mount, error) {
	if !path.IsAbs(sm.Destination) {
		return nil, fmt.Errorf("mount destination %q is not an absolute path", sm.Destination)
	}
	m := &mount{Mount: sm}
	m.Destination = path.Clean(sm.Destination)
	if m.Destination == "/" {
		return nil, fmt.Errorf("mount destination is /: what lies there is the root, see root.path")
	}
	for _, o := range sm.Options {
		attr, isAttr := attributes[o]
		kept := uint64(0)
		if isAttr {
			// "rw" undoes an earlier "ro"; it does not make writable what the host
			// has mounted read-only. "rrw" does.
			kept = attr.clr &^ linux.MountAttrAtimeMask
		} else if strings.HasPrefix(o, "r") {
			// "rro" and its like reach the mounts below; those of rbind all do.
			attr, isAttr = attributes[o[1:]]
		}
		prop, isProp := propagations[o]
		switch {
		case isAttr:
			m.set = m.set&^attr.clr | attr.set
			m.clr = m.clr&^attr.set | attr.clr&^kept
		case isProp:
			m.prop = prop
		case o == "bind" || o == "rbind":
			m.kind, m.recursive = bindMount, o == "rbind"
		case o == "idmap" || o == "ridmap":
			m.idmap = true
		default:
			m.data = append(m.data, o)
		}
	}
	if own, ok := owners[m.Type]; ok && m.kind == newMount && p.hasNew(specs.UserNamespace) && !p.hasNew(own.namespace) {
		// A user namespace may mount these only for a namespace of its own.
		m.kind, m.Source, m.data = bindMount, own.host, nil
	}
	switch {
	case m.Type == "bind":
		m.kind = bindMount
	case m.Type == "cgroup" || m.Type == "cgroup2":
		m.kind = cgroupMount
	case m.kind != bindMount && m.Type == "tmpfs" && m.Destination == "/dev":
		m.kind = devMount
	}
	if m.kind == bindMount {
		m.fd = p.share(m.Destination)
		if len(m.data) > 0 {
			return nil, fmt.Errorf("bind %s has unknown option %q", m.Destination, m.data[0])
		}
		if !path.IsAbs(m.Source) {
			return nil, fmt.Errorf("bind source %q is not an absolute path", m.Source)
		}
		return m, nil
	}
	m.slot = p.Slot("mount-" + m.Destination)
	m.fd = m.slot.Value()
	if m.prop != 0 && m.prop != linux.MsPrivate {
		return nil, fmt.Errorf("mount %s: propagation other than private needs a bind", m.Destination)
	}
	return m, nil
}

// owners are the file systems that show a namespace, and where the host has its own.
var owners = map[string]struct {
	namespace specs.LinuxNamespaceType
	host      string
}{
	"proc":   {specs.PIDNamespace, "/proc"},
	"sysfs":  {specs.NetworkNamespace, "/sys"},
	"mqueue": {specs.IPCNamespace, "/dev/mqueue"},
}

// find returns the mount at a destination.
func (p *planner) find(dest string) *mount {
	for _, m := range p.mounts {
		if m.Destination == dest {
			return m
		}
	}
	return nil
}

// makeMounts makes the init's own new file systems, still detached. It comes
// before the root changes: the kernel allows a new proc or sysfs in a user
// namespace only where an old one is in view.
func (p *planner) makeMounts() {
	for _, m := range p.mounts {
		if m.kind != newMount {
			continue
		}
		p.Do("make %s for %s", m.Type, m.Destination)
		source := m.Source
		if source == "" {
			source = m.Type
		}
		p.newMount(m.Type, source, m.data, m.set, m.slot)
	}
}

// attachMounts puts all mounts in their places below the new root, in the
// spec's order.
func (p *planner) attachMounts() {
	for _, m := range p.mounts {
		p.Do("mount %s at %s", m.what(), m.Destination)
		p.Remedy("look what the image has at %s: a directory takes only a directory, a file only a file, and no link may be at /proc, /sys or /dev", m.Destination)
		switch m.kind {
		case cgroupMount:
			p.attachCgroups(m)
		case devMount:
			p.attach(p.devFD, p.target(m.Destination, true))
			p.dirInDev("pts")
			p.dirInDev("shm")
			p.dirInDev("mqueue")
		case bindMount:
			p.attach(m.fd, p.target(m.Destination, !p.in.NotDir[m.Source]))
		case newMount:
			p.attach(m.fd, p.target(m.Destination, true))
			if m.Type == "devpts" && m.Destination == "/dev/pts" && p.keepPts() {
				p.Call("dup3", linux.SysDup3, m.fd, p.devpts(), program.Int(0))
			}
		}
	}
	if m := p.find("/dev/pts"); (m == nil || m.kind != newMount) && p.keepPts() {
		p.foundPts()
	}
}

// keepPts says whether somebody will need the container's devpts: the terminal
// of the command or, where a keeper holds it, those of later execs.
func (p *planner) keepPts() bool { return p.in.Handover == nil || p.in.Spec.Process.Terminal }

// foundPts keeps what the container has at /dev/pts instead of a devpts of its
// own, the host's say, for terminals: now and in later execs.
func (p *planner) foundPts() {
	p.Do("find /dev/pts")
	pts, none := p.Slot("pts"), p.Label("no /dev/pts")
	how := p.openHow(linux.OPath|syscall.O_DIRECTORY, linux.ResolveInRoot|linux.ResolveNoMagic, "O_PATH|O_DIRECTORY IN_ROOT")
	p.openInRoot("/dev/pts", how, pts).Tolerate(enoent, enotdir)
	for _, e := range []syscall.Errno{enoent, enotdir} {
		p.IfEqual(pts.Value(), program.Errno(e), none)
	}
	p.Call("dup3", linux.SysDup3, pts.Value(), p.devpts(), program.Int(0))
	p.Place(none)
}

// dirInDev makes a mount point in the fresh /dev, where nobody else writes yet.
func (p *planner) dirInDev(name string) {
	if p.find("/dev/"+name) != nil {
		p.Call("mkdirat", linux.SysMkdirat, p.devFD, p.String(name), program.Flags(0o755, "0755"))
	}
}

func (m *mount) what() string {
	switch m.kind {
	case bindMount:
		return m.Source
	case cgroupMount:
		return "cgroup"
	}
	return m.Type
}

// attachCgroups shows the container's directories of each hierarchy: alone
// when there is one unified tree, else below a tmpfs, as hosts do.
func (p *planner) attachCgroups(m *mount) {
	dirs := p.in.CgroupDirs
	attrs := m.set | linux.MountAttrNosuid | linux.MountAttrNodev | linux.MountAttrNoexec
	if len(dirs) == 1 && dirs[0].Name == "" {
		p.setAttr(m.cgroups[0], true, p.mountAttr(attrs, 0, linux.MsPrivate, false), attrText(attrs))
		p.attach(m.cgroups[0], p.target(m.Destination, true))
		return
	}
	p.newMount("tmpfs", "tmpfs", []string{"mode=755"}, 0, m.slot)
	p.attach(m.fd, p.target(m.Destination, true))
	for i, d := range dirs {
		p.Call("mkdirat", linux.SysMkdirat, m.fd, p.String(d.Name), program.Flags(0o755, "0755"))
		p.Call("move_mount", linux.SysMoveMount, m.cgroups[i], p.String(""), m.fd, p.String(d.Name), program.Flags(linux.MoveMountFEmpty, "F_EMPTY_PATH"))
	}
	for _, d := range dirs {
		// Controllers that share a hierarchy are also found by their own names.
		for _, c := range strings.Split(d.Name, ",") {
			if c != d.Name {
				p.Call("symlinkat", linux.SysSymlinkat, p.String(d.Name), m.fd, p.String(c)).Tolerate(eexist)
			}
		}
	}
	p.setAttr(m.fd, true, p.mountAttr(attrs, 0, linux.MsPrivate, false), attrText(attrs))
}

// noSymlinks are mount points that must be what they seem: a symbolic link
// there is an attack (CVE-2019-19921, CVE-2023-27561), not a layout.
var noSymlinks = []string{"/proc", "/sys", "/dev"}

// target opens the mount point dest below the root, and makes it if the image
// has none.
func (p *planner) target(dest string, dir bool) program.Slot {
	t := p.Slot("at-" + dest)
	how := p.how(slices.Contains(noSymlinks, dest))
	have, missing := p.Label("have "+dest), p.Label("make "+dest)
	p.openInRoot(dest, how, t).Tolerate(enoent)
	p.IfEqual(t.Value(), program.Errno(enoent), missing)
	p.Goto(have)
	p.Place(missing)
	parent := p.Slot("parent-of-" + dest)
	names := strings.Split(strings.TrimPrefix(dest, "/"), "/")
	for i, name := range names {
		p.openInRoot("/"+strings.Join(names[:i], "/"), p.how(false), parent)
		if i < len(names)-1 || dir {
			p.Call("mkdirat", linux.SysMkdirat, parent.Value(), p.String(name), program.Flags(0o755, "0755")).Tolerate(eexist)
		} else {
			p.Call("mknodat", linux.SysMknodat, parent.Value(), p.String(name), program.Flags(linux.SIfreg|0o644, "S_IFREG|0644"), program.Int(0)).Tolerate(eexist)
		}
	}
	p.openInRoot(dest, how, t)
	p.Place(have)
	return t
}

// openInRoot opens a path as if the new root were "/": links cannot leave it.
func (p *planner) openInRoot(file string, how program.Arg, to program.Slot) *program.Step {
	return p.openIn(p.rootFD, file, how, to)
}

// openIn opens a path as if root were "/". A mount or a rename anywhere on the
// host while a ".." is passed is EAGAIN (openat2(2)): then it looks again.
func (p *planner) openIn(root program.Arg, file string, how program.Arg, to program.Slot) *program.Step {
	again := p.Label("open again")
	p.Place(again)
	s := p.Call("openat2", linux.SysOpenat2, root, p.String(file), how, program.Int(24)).To(to).Tolerate(syscall.EAGAIN)
	p.IfEqual(to.Value(), program.Errno(syscall.EAGAIN), again)
	return s
}

// how is a struct open_how (openat2(2)) for O_PATH inside the root.
func (p *planner) how(noSymlinks bool) program.Arg {
	resolve, text := uint64(linux.ResolveInRoot|linux.ResolveNoMagic), "O_PATH IN_ROOT"
	if noSymlinks {
		resolve, text = resolve|linux.ResolveNoSymlinks, text+" NO_SYMLINKS"
	}
	return p.openHow(linux.OPath, resolve, text)
}

func (p *planner) attach(fd program.Arg, target program.Slot) {
	p.Call("move_mount", linux.SysMoveMount, fd, p.String(""), target.Value(), p.String(""), program.Flags(linux.MoveMountFEmpty|linux.MoveMountTEmpty, "F_EMPTY_PATH|T_EMPTY_PATH"))
}

func itoa[T int | uint32](n T) string { return strconv.FormatInt(int64(n), 10) }
