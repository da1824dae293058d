package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/plan/mountoption"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hostBinds copies the mounts that binds show, with the container's id map.
func (p *planner) hostBinds() {
	cwd := program.Flags(fdcwd, "AT_FDCWD")
	for _, m := range p.mounts {
		if m.kind != bindMount {
			continue
		}
		p.Do("bind %s", m.Source)
		fd := p.Slot("bind-" + m.Destination)
		p.ClonePath(cwd, m.Source, m.opt.Recursive, fd)
		p.publish(fd, m.fd)
		p.changeBind(m)
		if m.opt.IDMap {
			p.mapBind(m)
		}
	}
	for _, m := range p.mounts {
		if m.kind != cgroupMount {
			continue
		}
		for _, d := range p.in.CgroupDirs {
			p.Do("bind cgroup %s", d.Name)
			fd := p.Slot("cgroup-" + d.Name)
			source := d.Path
			if d.Root != "" && !p.has(specs.CgroupNamespace) {
				source = d.Root // /proc/self/cgroup tells the whole path
			}
			p.ClonePath(cwd, source, false, fd)
			number := p.share("cgroup-" + d.Name)
			p.publish(fd, number)
			m.cgroups = append(m.cgroups, number)
		}
	}
}

// changeBind gives a copied mount its attributes and its propagation, private
// unless another is asked for: a copy of a shared mount, which the host's
// usually are, would hand the container's mounts to the host.
func (p *planner) changeBind(m *mount) {
	one, all, props := m.opt.Attr, m.opt.RecAttr, m.opt.Propagations
	first := mountoption.Propagation{Type: linux.MsPrivate}
	// Of the mounts below, too, also where only the upper one's is asked for: what
	// stays shared with the host would be a hole. Which cannot be bound is the upper one alone.
	if len(props) > 0 && props[0].Type != linux.MsUnbindable {
		first, props = props[0], props[1:]
	}
	if m.opt.Recursive {
		if !one.IsZero() {
			p.SetAttr(m.fd, false, p.MountAttr(one.Set, one.Clear, 0), call.AttrText(one.Set))
		}
	} else {
		all = mountoption.Change{Set: one.Set&^all.Clear | all.Set, Clear: one.Clear&^all.Set | all.Clear}
	}
	p.SetAttr(m.fd, m.opt.Recursive, p.MountAttr(all.Set, all.Clear, first.Type), call.AttrText(all.Set))
	for _, prop := range props {
		p.SetAttr(m.fd, prop.Recursive, p.MountAttr(0, 0, prop.Type), call.PropagationText(prop.Type))
	}
}

// mapBind shows the files of a bind with mapped ids: with a map of its own, or
// with the container's.
func (p *planner) mapBind(m *mount) {
	l := p.in.Spec.Linux
	own := len(m.UIDMappings) > 0
	if own && p.hasNew(specs.UserNamespace) && slices.Equal(m.UIDMappings, l.UIDMappings) && slices.Equal(m.GIDMappings, l.GIDMappings) {
		own = false
	}
	if own {
		ns := p.idNamespace(m)
		attr := p.Words("attr", linux.MountAttrIdmap, 0, 0, 0)
		p.Do("map ids of %s", m.Source)
		p.Remedy("the file system of %s takes no id map", m.Source)
		p.Call("dup", syscall.SYS_DUP, ns.Value()).To(attr.Slot(24))
		p.SetAttr(m.fd, m.opt.RecIDMap, attr.At(0), "idmap")
		return
	}
	p.Remedy("the file system of %s takes no id map: use --userns host, or another directory", m.Source)
	idmap := p.SetAttr(m.fd, m.opt.RecIDMap, p.mapAttr(0), "idmap")
	if kernelFiles(m.Source) {
		idmap.Tolerate(syscall.EINVAL) // shown as nobody's
	}
}

// idNamespace makes a user namespace with the map of a mount, for that alone.
// Mounts with equal maps share one.
func (p *planner) idNamespace(m *mount) program.Slot {
	key := mapText(m.UIDMappings) + "/" + mapText(m.GIDMappings)
	if ns, ok := p.idspaces[key]; ok {
		return ns
	}
	first := m.UIDMappings[0]
	p.Do("make a user namespace that maps uid %d to %d, %d ids", first.ContainerID, first.HostID, first.Size)
	p.Remedy("see the uidMappings and gidMappings of mount %s", m.Destination)
	ns := p.Slot("idspace-" + itoa(len(p.idspaces)))
	p.idspaces[key] = ns
	p.UserNamespace(mapText(m.UIDMappings), mapText(m.GIDMappings), p.word.At(0), ns)
	return ns
}

func mapText(maps []specs.LinuxIDMapping) string {
	var text strings.Builder
	for _, m := range maps {
		fmt.Fprintf(&text, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return text.String()
}

// kernelFiles says whether a path is on the file systems that are the kernel's
// own, which have no idmapped mounts.
func kernelFiles(name string) bool {
	top, _, _ := strings.Cut(strings.TrimPrefix(path.Clean(name), "/"), "/")
	return top == "proc" || top == "sys" || top == "dev"
}
