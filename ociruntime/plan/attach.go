package plan

import (
	"slices"
	"strconv"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/plan/mountoption"
	"berth/ociruntime/program"
)

// attachMounts puts all mounts in their places below the new root, in the
// spec's order.
func (p *planner) attachMounts() {
	for _, m := range p.mounts {
		p.Do("mount %s at %s", m.what(), m.Destination)
		p.Remedy("look what the image has at %s: a directory takes only a directory, a file only a file, and no link may be at /proc, /sys or /dev", m.Destination)
		switch m.kind {
		case cgroupMount:
			p.attachCgroups(m)
		case remount:
			p.remount(m)
		case devMount:
			p.Move(p.devFD, p.target(m, true))
			p.dirInDev("pts")
			p.dirInDev("shm")
			p.dirInDev("mqueue")
		case copyUpMount:
			p.Move(m.fd, p.target(m, true))
			p.propagate(m.fd, m.opt.Propagations)
		case bindMount:
			if m.Destination == "/proc" {
				p.mustBeProc(m)
			}
			p.Move(m.fd, p.target(m, !p.in.NotDir[m.Source]))
		case newMount:
			p.Move(m.fd, p.target(m, true))
			if m.Type == "devpts" && m.Destination == "/dev/pts" && p.keepPts() {
				p.Call("dup3", linux.SysDup3, m.fd, p.devpts(), program.Int(0))
			}
		}
	}
	if m := p.find("/dev/pts"); (m == nil || m.kind != newMount) && p.keepPts() {
		p.foundPts()
	}
}

// mustBeProc refuses to show as /proc what is none: the system and its security
// modules are talked to through it (CVE-2019-16884).
func (p *planner) mustBeProc(m *mount) {
	p.Remedy("what lies at /proc must be a proc file system")
	p.MustBe(m.fd, program.Flags(linux.ProcMagic, "PROC_SUPER_MAGIC"), syscall.EINVAL)
}

// keepPts says whether somebody will need the container's devpts: the terminal
// of the command or, where a keeper holds it, those of later execs.
func (p *planner) keepPts() bool { return p.in.Handover == nil || p.in.Spec.Process.Terminal }

// foundPts keeps what the container has at /dev/pts instead of a devpts of its
// own, the host's say, for terminals: now and in later execs.
func (p *planner) foundPts() {
	p.Do("find /dev/pts")
	pts, none := p.Slot("pts"), p.Label("no /dev/pts")
	how := p.OpenHow(linux.OPath|syscall.O_DIRECTORY, linux.ResolveInRoot|linux.ResolveNoMagic, "O_PATH|O_DIRECTORY IN_ROOT")
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
	case remount:
		return "again"
	}
	return m.Type
}

// attachCgroups shows the container's directories of each hierarchy: alone
// when there is one unified tree, else below a tmpfs, as hosts do.
func (p *planner) attachCgroups(m *mount) {
	dirs := p.in.CgroupDirs
	attrs := m.attrs() | linux.MountAttrNosuid | linux.MountAttrNodev | linux.MountAttrNoexec
	if len(dirs) == 1 && dirs[0].Name == "" {
		p.SetAttr(m.cgroups[0], true, p.MountAttr(attrs, 0, linux.MsPrivate), call.AttrText(attrs))
		p.propagate(m.cgroups[0], m.opt.Propagations)
		p.Move(m.cgroups[0], p.target(m, true))
		return
	}
	p.NewMount("tmpfs", "tmpfs", []string{"mode=755"}, 0, m.slot)
	p.Move(m.fd, p.target(m, true))
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
	p.SetAttr(m.fd, true, p.MountAttr(attrs, 0, linux.MsPrivate), call.AttrText(attrs))
	p.propagate(m.fd, m.opt.Propagations)
}

// remount changes the mount that lies at the destination by then: its own
// attributes, and the options of the file system if there are any.
func (p *planner) remount(m *mount) {
	at := p.Slot("at-" + m.Destination)
	p.Remedy("there must be a mount, of a file system that lets the options be changed")
	p.openInRoot(m.Destination, p.How(slices.Contains(noSymlinks, m.Destination)), at)
	if data := append(m.opt.Data, m.opt.Super...); len(data) > 0 {
		fs := p.Slot("picked-fs")
		p.Call("fspick", linux.SysFspick, at.Value(), p.String(""), program.Flags(linux.FspickEmptyPath|linux.FspickCloexec, "FSPICK_EMPTY_PATH")).To(fs)
		p.Configure(fs, "the mount", data)
		p.Call("fsconfig", linux.SysFsconfig, fs.Value(), program.Flags(linux.FsconfigReconfigure, "CMD_RECONFIGURE"), program.Int(0), program.Int(0), program.Int(0))
	}
	if c := m.opt.Attr; !c.IsZero() {
		p.SetAttr(at.Value(), false, p.MountAttr(c.Set, c.Clear, 0), call.AttrText(c.Set))
	}
	if c := m.opt.RecAttr; !c.IsZero() {
		p.SetAttr(at.Value(), true, p.MountAttr(c.Set, c.Clear, 0), call.AttrText(c.Set))
	}
	for _, prop := range m.opt.Propagations {
		p.SetAttr(at.Value(), prop.Recursive, p.MountAttr(0, 0, prop.Type), call.PropagationText(prop.Type))
	}
}

// finishMounts makes read-only what was filled until now, and lets the root
// hand its mounts on if it is to.
func (p *planner) finishMounts() {
	p.Group("mount")
	for _, m := range p.mounts {
		if m.lateReadonly() {
			fd := m.fd
			if m.kind == devMount {
				fd = p.devFD
			}
			p.Do("make %s read-only", m.Destination)
			p.SetAttr(fd, false, p.MountAttr(linux.MountAttrRdonly, 0, 0), "ro")
		}
	}
	if typ, recursive := p.rootPropagation(); typ == linux.MsShared || typ == linux.MsUnbindable {
		p.Do("make root %s", call.PropagationText(typ))
		p.SetAttr(p.rootFD, recursive, p.MountAttr(0, 0, typ), call.PropagationText(typ))
	}
}

// rootPropagation is linux.rootfsPropagation.
func (p *planner) rootPropagation() (typ uint64, recursive bool) {
	name := p.in.Spec.Linux.RootfsPropagation
	if name == "" {
		return linux.MsPrivate, false
	}
	o := mountoption.Parse([]string{name})
	if len(o.Propagations) == 0 {
		p.Refuse("linux.rootfsPropagation is %q: shared, slave, private and unbindable are possible", name)
		return linux.MsPrivate, false
	}
	typ, recursive = o.Propagations[0].Type, o.Propagations[0].Recursive
	if p.guest && typ == linux.MsUnbindable {
		typ = linux.MsPrivate
	}
	return typ, recursive
}

// noSymlinks are mount points that must be what they seem: a symbolic link
// there is an attack (CVE-2019-19921, CVE-2023-27561), not a layout.
var noSymlinks = []string{"/proc", "/sys", "/dev"}

// target opens the mount point of m, and makes it if the image has none. A
// tmpfs without a mode takes that of the directory it covers, as other runtimes do.
func (p *planner) target(m *mount, dir bool) program.Slot {
	plain := slices.Contains(noSymlinks, m.Destination) || m.Type == "proc" || m.Type == "sysfs"
	var found func(program.Slot)
	if m.Type == "tmpfs" && (m.kind == newMount || m.kind == devMount) && !m.opt.Has("mode") {
		fd := m.fd
		if m.kind == devMount {
			fd = p.devFD
		}
		found = func(at program.Slot) {
			stat := p.Words("statx", make([]uint64, 32)...)
			const modeAt = 28 // struct statx's stx_mode; chmod takes no more than these 16 bits
			p.Call("statx", linux.SysStatx, at.Value(), p.String(""), program.Flags(linux.AtEmptyPath, "AT_EMPTY_PATH"), program.Flags(linux.StatxBasicStats, "STATX_BASIC_STATS"), stat.At(0))
			p.Call("fchmodat", linux.SysFchmodat, fd, p.String("."), stat.Slot(modeAt).Value())
		}
	}
	return p.PlaceIn(p.rootFD, m.Destination, p.How(plain), dir, found)
}

// openInRoot opens a path as if the new root were "/": links cannot leave it.
func (p *planner) openInRoot(file string, how program.Arg, to program.Slot) *program.Step {
	return p.OpenIn(p.rootFD, file, how, to)
}

func itoa[T int | uint32](n T) string { return strconv.FormatInt(int64(n), 10) }
