package plan

import (
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/plan/union"
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
	data := union.Data{Attr: p.MountAttr(0, 0, linux.MsPrivate), Text: "private"}
	if p.userns {
		data = union.Data{Attr: p.mapAttr(linux.MsPrivate), Text: "idmap, private", IDMap: true}
	}
	if p.in.AttachedLayers {
		// Above all shared numbers; with 500 layers still below the usual limit of 1024.
		union.Attached(p.Calls, o, data, p.fixed(fdShared)+3+len(p.mounts)*(1+len(p.in.CgroupDirs))+len(p.devices), root)
	} else {
		union.Detached(p.Calls, o, data, root)
	}
	p.publish(root, p.rootFD)
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
