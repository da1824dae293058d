package plan

import (
	"path"
	"slices"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultDevices is what every container's /dev holds (OCI runtime spec,
// "Default Devices").
var defaultDevices = []specs.LinuxDevice{
	{Path: "/dev/null", Type: "c", Major: 1, Minor: 3},
	{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5},
	{Path: "/dev/full", Type: "c", Major: 1, Minor: 7},
	{Path: "/dev/random", Type: "c", Major: 1, Minor: 8},
	{Path: "/dev/urandom", Type: "c", Major: 1, Minor: 9},
	{Path: "/dev/tty", Type: "c", Major: 5, Minor: 0},
}

// deviceLinks are the links of every container's /dev, and where they lead.
var deviceLinks = [][2]string{{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"}}

// device is a device node of the container.
type device struct {
	specs.LinuxDevice
	name string      // in the container's own /dev; empty for a place elsewhere
	host program.Arg // the host's node, if that is bound
	bind bool
}

// planDevices sorts out where the device nodes are and how they come there: into a
// /dev of the container's own the keeper makes them; in what else the container
// has the init does, or where it may not, the host's are bound.
func (p *planner) planDevices() {
	dev := p.find("/dev")
	p.ownDev = dev != nil && dev.kind == devMount
	shared := p.sharedDev()
	all := slices.Clone(p.in.Spec.Linux.Devices)
	if !shared {
		all = append(all, defaultDevices...)
	}
	bind := p.in.BindDevices || p.in.Available != 0 && p.in.Available&(1<<linux.CapMknod) == 0
	seen := map[string]bool{"/dev/ptmx": true} // a link
	for _, d := range all {
		d.Path = path.Clean("/" + d.Path)
		inDev := strings.HasPrefix(d.Path, "/dev/")
		if seen[d.Path] || inDev && shared {
			continue
		}
		seen[d.Path] = true
		if nodeTypes[d.Type] == 0 {
			p.Refuse("device %s has unknown type %q: c, u, b and p are possible", d.Path, d.Type)
			continue
		}
		n := device{LinuxDevice: d}
		if inDev && p.ownDev {
			n.name = d.Path[len("/dev/"):]
		}
		n.bind = d.Type != "p" && (bind || p.userns && n.name == "")
		if n.bind {
			n.host = p.share(d.Path)
		}
		p.devices = append(p.devices, n)
	}
}

// sharedDev says whether the container's /dev is the host's: nothing may be put
// there. All devtmpfs are one.
func (p *planner) sharedDev() bool {
	dev := p.find("/dev")
	return dev != nil && (dev.kind == bindMount || dev.Type == "devtmpfs")
}

var nodeTypes = map[string]uint64{"c": linux.SIfchr, "u": linux.SIfchr, "b": linux.SIfblk, "p": linux.SIfifo}

// hostDev makes the file system of the container's /dev, a tmpfs with device nodes
// of its own: only the host may make those, and in a file system of the host's
// user namespace they work. No path of the container is involved.
func (p *planner) hostDev() {
	if p.ownDev {
		p.Do("make /dev")
		p.publish(p.NewFS("tmpfs", "tmpfs", p.find("/dev").data(p.in.Spec.Linux.MountLabel)), p.devFS)
	}
}

// mountDev mounts it, when it is its turn: see makeMounts.
func (p *planner) mountDev(m *mount) {
	p.Do("mount /dev")
	dev := p.Slot("dev")
	p.MountFS(p.devFS, m.attrs()&^linux.MountAttrNodev, dev)
	p.publish(dev, p.devFD)
	if !p.in.Rootless {
		p.signal(p.made)
	}
}

// fillDev makes the device nodes.
func (p *planner) fillDev() {
	p.Group("mount")
	if p.ownDev {
		p.Do("fill /dev")
		made := map[string]bool{}
		for _, d := range p.devices {
			if d.name != "" {
				p.makeNode(d, made)
			}
		}
		for _, l := range deviceLinks {
			p.Do("link /dev/%s to %s", l[0], l[1])
			p.Call("symlinkat", linux.SysSymlinkat, p.String(l[1]), p.devFD, p.String(l[0]))
		}
	}
	for _, d := range p.devices {
		if d.bind {
			p.Do("bind device %s", d.Path)
			fd := p.Slot("device-" + d.Path)
			p.ClonePath(program.Flags(fdcwd, "AT_FDCWD"), d.Path, false, fd)
			p.publish(fd, d.host)
			p.SetAttr(d.host, false, p.MountAttr(0, 0, linux.MsPrivate), "private")
		}
	}
	p.hostNull()
}

// makeNode makes one device node in the new /dev, and the directories above it;
// a file for the host's node if that is bound.
func (p *planner) makeNode(d device, made map[string]bool) {
	for i := range d.name {
		if d.name[i] == '/' && !made[d.name[:i]+"/"] {
			made[d.name[:i]+"/"] = true
			p.Call("mkdirat", linux.SysMkdirat, p.devFD, p.String(d.name[:i]), program.Flags(0o755, "0755")).Tolerate(syscall.EEXIST)
		}
	}
	p.Do("make device %s %d:%d", d.Path, d.Major, d.Minor)
	if d.bind {
		p.Call("mknodat", linux.SysMknodat, p.devFD, p.String(d.name), program.Flags(linux.SIfreg|0o644, "S_IFREG|0644"), program.Int(0))
		return
	}
	p.mknod(p.devFD, d.name, d)
	if d.UID == nil && d.GID == nil {
		return
	}
	id := func(maps []specs.LinuxIDMapping, id *uint32) program.Arg {
		if id == nil {
			return program.Int(int(HostID(maps, 0)))
		}
		return program.Int(int(HostID(maps, *id)))
	}
	p.Call("fchownat", linux.SysFchownat, p.devFD, p.String(d.name), id(p.in.Spec.Linux.UIDMappings, d.UID), id(p.in.Spec.Linux.GIDMappings, d.GID), program.Flags(linux.AtSymlinkNofollow, "AT_SYMLINK_NOFOLLOW"))
}

func (p *planner) mknod(dir program.Arg, name string, d device) *program.Step {
	perm := uint64(0o666)
	if d.FileMode != nil {
		perm = uint64(d.FileMode.Perm())
	}
	return p.Call("mknodat", linux.SysMknodat, dir, p.String(name), program.Flags(nodeTypes[d.Type]|perm, "mode"), program.Flags(linux.Mkdev(uint32(d.Major), uint32(d.Minor)), "dev"))
}

// attachDevices puts the device nodes that are not in a /dev of the container's
// own in their places, and the links where there is no such /dev.
func (p *planner) attachDevices() {
	for _, d := range p.devices {
		switch {
		case d.bind && d.name != "":
			p.Do("bind device %s", d.Path)
			p.Call("move_mount", linux.SysMoveMount, d.host, p.String(""), p.devFD, p.String(d.name), program.Flags(linux.MoveMountFEmpty, "F_EMPTY_PATH"))
		case d.bind:
			p.Do("bind device %s", d.Path)
			p.Move(d.host, p.PlaceIn(p.rootFD, d.Path, p.How(true), false, nil))
		case d.name == "":
			p.Do("make device %s %d:%d", d.Path, d.Major, d.Minor)
			p.placeNode(d)
		}
	}
	if p.ownDev || p.sharedDev() {
		return
	}
	dir := p.PlaceIn(p.rootFD, "/dev", p.How(true), true, nil)
	for _, l := range deviceLinks {
		p.Do("link /dev/%s to %s", l[0], l[1])
		p.Call("symlinkat", linux.SysSymlinkat, p.String(l[1]), dir.Value(), p.String(l[0])).Tolerate(eexist)
	}
}

// placeNode makes a device node below the root. One that is there already must
// be that device.
func (p *planner) placeNode(d device) {
	dir, name := path.Split(d.Path)
	parent := p.PlaceIn(p.rootFD, path.Clean(dir), p.How(strings.HasPrefix(dir, "/dev/")), true, nil)
	made, fresh, same := p.Slot("node"), p.Label("new "+d.Path), p.Label("have "+d.Path)
	p.mknod(parent.Value(), name, d).Tolerate(eexist).To(made)
	p.IfEqual(made.Value(), program.Int(0), fresh)
	p.Remedy("another file is there: remove it from the root file system")
	stat := p.Words("statx", make([]uint64, 32)...)
	const rdevAt = 128 // struct statx's stx_rdev_major and stx_rdev_minor
	p.Call("statx", linux.SysStatx, parent.Value(), p.String(name), program.Flags(linux.AtSymlinkNofollow, "AT_SYMLINK_NOFOLLOW"), program.Flags(linux.StatxBasicStats, "STATX_BASIC_STATS"), stat.At(0))
	p.IfEqual(stat.Slot(rdevAt).Value(), program.Flags(uint64(d.Major)|uint64(d.Minor)<<32, "rdev"), same)
	p.Fail(syscall.EEXIST)
	p.Place(fresh)
	if d.UID != nil || d.GID != nil {
		id := func(id *uint32) program.Arg {
			if id == nil {
				return program.Int(0)
			}
			return program.Int(int(*id))
		}
		p.Call("fchownat", linux.SysFchownat, parent.Value(), p.String(name), id(d.UID), id(d.GID), program.Flags(linux.AtSymlinkNofollow, "AT_SYMLINK_NOFOLLOW"))
	}
	p.Place(same)
}

// hostNull gets a null device for masks where the container has no /dev of its
// own: the host's, looked at first (CVE-2025-31133).
func (p *planner) hostNull() {
	if p.ownDev || len(p.in.Spec.Linux.MaskedPaths) == 0 {
		return
	}
	null := p.Slot("null")
	p.HostNull(null)
	p.nullFD = p.share("null")
	p.publish(null, p.nullFD)
	p.SetAttr(p.nullFD, false, p.MountAttr(0, 0, linux.MsPrivate), "private")
}
