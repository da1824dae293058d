package plan

import (
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What the keeper prepares with the host's privileges while the init waits or
// makes what it can make alone. All of it is detached mounts in files: nothing
// is ever seen in the host's mount namespace.

// mapAttr is struct mount_attr with the container's id map.
func (p *planner) mapAttr(propagation uint64) program.Arg {
	return p.Words("attr", linux.MountAttrIdmap, 0, propagation, uint64(p.fixed(fdUserns))).At(0)
}

// hostRoot mounts the root file system: the union of the layers seen through
// one idmapped mount, or a bind of a directory.
func (p *planner) hostRoot() {
	p.Group("mount")
	cwd := program.Flags(fdcwd, "AT_FDCWD")
	if p.userns && !p.in.Rootless {
		p.Do("open init's user namespace")
		fd := p.openProcOfInit("ns/user", syscall.O_RDONLY)
		p.Call("dup3", linux.SysDup3, fd.Value(), program.Int(p.fixed(fdUserns)), program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"))
	}
	o, root := p.in.Rootfs, p.Slot("root-made")
	if o == nil {
		if p.in.Spec.Root == nil || p.in.Spec.Root.Path == "" {
			p.Refuse("root.path is empty: name the root file system")
			return
		}
		p.Do("bind %s as root", p.in.Spec.Root.Path)
		p.ClonePath(cwd, p.in.Spec.Root.Path, true, root)
		p.publish(root, p.rootFD)
		typ := uint64(linux.MsPrivate)
		if asked, _ := p.rootPropagation(); asked == linux.MsSlave {
			typ = asked // the others hear nothing of the host's mounts
		}
		p.SetAttr(p.rootFD, true, p.MountAttr(0, 0, typ), call.PropagationText(typ))
		return
	}
	p.hostUnion(o, root)
}

// hostUnion mounts the union of the layers. All of them and the writable layer
// are seen through one mount of the data root, which has the container's id map.
func (p *planner) hostUnion(o *linux.Overlay, root program.Slot) {
	cwd, data := program.Flags(fdcwd, "AT_FDCWD"), p.Slot("data")
	p.Do("open %s", o.Root)
	p.ClonePath(cwd, o.Root, false, data)
	// Private: a copy of a shared mount (the host's usually are) hands what is
	// mounted on it to the host, and cannot become a container's root.
	if p.userns {
		p.Do("map ids of layers and writable layer")
		p.Remedy("the file system of %s takes no id map: have it on ext4, xfs or btrfs, or use --userns host", o.Root)
		p.SetAttr(data.Value(), false, p.mapAttr(linux.MsPrivate), "idmap, private")
	} else {
		p.SetAttr(data.Value(), false, p.MountAttr(0, 0, linux.MsPrivate), "private")
	}
	if p.in.AttachedLayers {
		p.attachedUnion(o, data, root)
		return
	}
	if o.Upper == "" && len(o.Lower) == 1 {
		p.Do("root is layer %s", o.Lower[0])
		p.ClonePath(data.Value(), o.Lower[0], false, root)
		p.publish(root, p.rootFD)
		return
	}
	// fsconfig takes at most 255 bytes a string: paths are relative to the data root.
	p.Do("union of %d layers as root", len(o.Lower))
	p.Call("fchdir", linux.SysFchdir, data.Value())
	var opts []string
	for _, l := range o.Lower {
		opts = append(opts, "lowerdir+="+l)
	}
	if o.Upper != "" {
		opts = append(opts, "upperdir="+o.Upper, "workdir="+o.Work)
	}
	p.NewMount("overlay", "overlay", opts, 0, root)
	p.publish(root, p.rootFD)
	p.Call("chdir", syscall.SYS_CHDIR, p.String("/"))
}

// attachedUnion is hostUnion for kernels whose overlayfs takes only layers that
// are attached somewhere (before Linux 6.15): for this the keeper goes into a
// mount namespace of its own and comes back. Before 6.7 overlayfs takes all
// layers in one string of at most a page, so they are named by the numbers of
// open files, relative to /proc/self/fd.
func (p *planner) attachedUnion(o *linux.Overlay, data, root program.Slot) {
	cwd, empty, rootPath := program.Flags(fdcwd, "AT_FDCWD"), p.String(""), p.String(o.Root)
	home, zero := p.Slot("host-mounts"), program.Int(0)
	p.Do("attach layers in a mount namespace of the keeper's own")
	p.Call("openat", syscall.SYS_OPENAT, cwd, p.String("/proc/self/ns/mnt"), program.Flags(syscall.O_CLOEXEC, "O_CLOEXEC"), zero).To(home)
	p.Call("unshare", linux.SysUnshare, program.Flags(linux.CloneNewns, "CLONE_NEWNS"))
	p.Call("mount_setattr", linux.SysMountSetattr, cwd, p.String("/"), program.Flags(linux.AtRecursive, "AT_RECURSIVE"), p.MountAttr(0, 0, linux.MsPrivate), program.Flags(call.MountAttrSize, "private"))
	p.Call("move_mount", linux.SysMoveMount, data.Value(), empty, cwd, rootPath, program.Flags(linux.MoveMountFEmpty, "F_EMPTY_PATH"))
	if o.Upper == "" && len(o.Lower) == 1 {
		p.Do("root is layer %s", o.Lower[0])
		p.ClonePath(data.Value(), o.Lower[0], false, root)
	} else {
		p.unionOfFiles(o, data)
		p.ClonePath(cwd, o.Root, false, root)
	}
	p.publish(root, p.rootFD)
	p.Do("go back to the host's mounts")
	p.Call("setns", linux.SysSetns, home.Value(), program.Flags(linux.CloneNewns, "CLONE_NEWNS"))
}

// unionOfFiles mounts the union on the data root.
func (p *planner) unionOfFiles(o *linux.Overlay, data program.Slot) {
	if len(o.Lower) > linux.MaxLower {
		p.Refuse("the image has %d layers: overlayfs takes at most %d", len(o.Lower), linux.MaxLower)
		return
	}
	p.Do("union of %d layers as root", len(o.Lower))
	// Above all shared numbers; with 500 layers still below the usual limit of 1024.
	first := p.fixed(fdShared) + 2 + len(p.mounts)*(1+len(p.in.CgroupDirs))
	next, dir := first, p.Slot("layer")
	open := func(path string) string {
		p.Call("openat", syscall.SYS_OPENAT, data.Value(), p.String(path), program.Flags(linux.OPath|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, "O_PATH|O_DIRECTORY|O_NOFOLLOW"), program.Int(0)).To(dir)
		p.publish(dir, program.Int(next))
		next++
		return itoa(next - 1)
	}
	var lower []string
	for _, l := range o.Lower {
		lower = append(lower, open(l))
	}
	opts := "lowerdir=" + strings.Join(lower, ":")
	if o.Upper != "" {
		opts += ",upperdir=" + open(o.Upper) + ",workdir=" + open(o.Work)
	}
	p.Call("chdir", syscall.SYS_CHDIR, p.String("/proc/self/fd"))
	p.Call("mount", syscall.SYS_MOUNT, p.String("overlay"), p.String(o.Root), p.String("overlay"), program.Int(0), p.String(opts))
	p.Call("close_range", linux.SysCloseRange, program.Int(first), program.Int(next-1), program.Int(0))
}

// filesAs lets the keeper make files as this user of the host while it keeps its
// capabilities: as the container's root. The union works with the ids of
// whoever mounts it, and an idmapped upper directory takes only ids of the map
// (EOVERFLOW).
func (p *planner) filesAs(uid, gid uint32) {
	if !p.userns {
		return
	}
	p.Do("make files as user %d:%d", uid, gid)
	p.Call("prctl", syscall.SYS_PRCTL, program.Flags(linux.PrSetSecurebits, "PR_SET_SECUREBITS"), program.Flags(linux.SecbitNoSetuidFixup, "SECBIT_NO_SETUID_FIXUP"))
	p.Call("setfsgid", syscall.SYS_SETFSGID, program.Int(int(gid)))
	p.Call("setfsuid", syscall.SYS_SETFSUID, program.Int(int(uid)))
}

func (p *planner) hostRootID() uint32  { return HostID(p.in.Spec.Linux.UIDMappings, 0) }
func (p *planner) hostRootGID() uint32 { return HostID(p.in.Spec.Linux.GIDMappings, 0) }

// HostID is the host's id for an id of the container; without maps the same.
func HostID(maps []specs.LinuxIDMapping, id uint32) uint32 {
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + id - m.ContainerID
		}
	}
	return id
}
