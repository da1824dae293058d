package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/plan/mountoption"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

type mountKind int

const (
	newMount    mountKind = iota // a new file system that the init makes
	bindMount                    // a copy of a host mount that the keeper makes
	devMount                     // the container's /dev, made by the keeper
	cgroupMount                  // the container's cgroup directories
	copyUpMount                  // a tmpfs that was filled before, see CopyUps
	remount                      // a change of what is mounted there by then
)

// mount is a mount of the spec, with its options sorted out.
type mount struct {
	specs.Mount
	kind    mountKind
	opt     mountoption.Options
	fd      program.Arg   // where the init finds it
	slot    program.Slot  // where the init makes it
	cgroups []program.Arg // one for each Input.CgroupDirs
}

// attrs are the attributes of a new file system.
func (m *mount) attrs() uint64 {
	set := m.opt.Attr.Set | m.opt.RecAttr.Set
	if m.lateReadonly() {
		set &^= linux.MountAttrRdonly
	}
	return set
}

// lateReadonly says whether the mount becomes read-only at the end only: other
// mounts may need places in it that are not there yet.
func (m *mount) lateReadonly() bool {
	fresh := m.kind == devMount || m.kind == copyUpMount || m.kind == newMount && m.Type == "tmpfs"
	return fresh && (m.opt.Attr.Set|m.opt.RecAttr.Set)&linux.MountAttrRdonly != 0
}

// data are the options of a new file system itself.
func (m *mount) data(label string) []string {
	data := append(mountoption.OfType(m.Type, m.opt.Data), m.opt.Super...)
	if !mountoption.KernelMade(m.Type) && m.attrs()&linux.MountAttrRdonly != 0 {
		data = append(data, "ro") // what is on a disk is not to be written by the mount itself
	}
	if m.Type == "proc" || m.Type == "sysfs" || m.Type == "mqueue" {
		return data
	}
	return labelled(data, label)
}

// labelled adds the SELinux label of a mount.
func labelled(data []string, label string) []string {
	if label == "" {
		return data
	}
	return append(data, "context="+label)
}

// parseMount sorts the options of a mount of the spec.
func (p *planner) parseMount(sm specs.Mount) (*mount, error) {
	m := &mount{Mount: sm, opt: mountoption.Parse(sm.Options)}
	m.Destination = path.Clean("/" + sm.Destination) // a relative one is below the root
	if m.Destination == "/" {
		return nil, fmt.Errorf("mount destination is /: what lies there is the root, see root.path")
	}
	own, isOwn := owners[m.Type]
	switch {
	case m.opt.Remount:
		m.kind = remount
		return m, nil
	case m.opt.Bind || m.Type == "bind":
		m.kind = bindMount
	case isOwn && p.hasNew(specs.UserNamespace) && !p.hasNew(own.namespace):
		// A user namespace may mount these only for a namespace of its own.
		m.kind, m.Source = bindMount, own.host
	case m.Type == "cgroup" || m.Type == "cgroup2":
		m.kind = cgroupMount
	case m.Type == "tmpfs" && m.Destination == "/dev":
		m.kind = devMount
		if have := p.find("/dev"); have != nil && have.kind == devMount {
			return nil, fmt.Errorf("mount /dev is a tmpfs twice: which one is to have the devices?")
		}
	case m.Type == "tmpfs" && m.opt.CopyUp:
		m.kind = copyUpMount
	case m.Type == "":
		return nil, fmt.Errorf("mount %s has no type, and is no bind", m.Destination)
	}
	if m.Destination == "/proc" && m.kind != bindMount && m.Type != "proc" {
		return nil, fmt.Errorf("mount /proc is a %s: what lies there must be a proc file system", m.Type)
	}
	if err := p.checkIDMap(m); err != nil {
		return nil, err
	}
	if m.kind == bindMount {
		m.fd = p.share(m.Destination)
		if !path.IsAbs(m.Source) {
			return nil, fmt.Errorf("bind source %q is not an absolute path", m.Source)
		}
		return m, nil
	}
	if m.kind == copyUpMount {
		m.fd = program.Flags(uint64(p.firstCopyUp()+p.copyUps), "#"+m.Destination)
		p.copyUps++
		return m, nil
	}
	m.slot = p.Slot("mount-" + m.Destination)
	m.fd = m.slot.Value()
	return m, nil
}

// CopyUp is a tmpfs that begins with what the root file system has at its
// place. No system call copies a directory, so it is made and filled before the
// program starts.
type CopyUp struct {
	Destination string
	// Data are the options of the tmpfs, Attrs the attributes of its mount.
	Data  []string
	Attrs uint64
	// Below are the mounts that come before it.
	Below []specs.Mount
}

// CopyUps lists the spec's. Their files are open after those of Joined, in this order.
func CopyUps(s *specs.Spec) []CopyUp {
	var all []CopyUp
	for i, sm := range s.Mounts {
		if sm.Type != "tmpfs" || !slices.Contains(sm.Options, "tmpcopyup") {
			continue
		}
		m := &mount{Mount: sm, kind: copyUpMount, opt: mountoption.Parse(sm.Options)}
		m.Destination = path.Clean("/" + sm.Destination)
		if m.opt.Bind || m.opt.Remount || m.Destination == "/dev" {
			continue
		}
		label := ""
		if s.Linux != nil {
			label = s.Linux.MountLabel
		}
		all = append(all, CopyUp{Destination: m.Destination, Data: m.data(label), Attrs: m.attrs(), Below: s.Mounts[:i]})
	}
	return all
}

// checkIDMap sees to it that a map of ids is known if one is asked for.
func (p *planner) checkIDMap(m *mount) error {
	own := len(m.UIDMappings) > 0
	m.opt.IDMap = m.opt.IDMap || own || len(m.GIDMappings) > 0
	switch {
	case own != (len(m.GIDMappings) > 0):
		return fmt.Errorf("mount %s has only one of uidMappings and gidMappings: give both", m.Destination)
	case m.opt.IDMap && m.kind != bindMount:
		return fmt.Errorf("mount %s has mapped ids, but only binds can", m.Destination)
	case m.opt.IDMap && !own && !p.userns:
		return fmt.Errorf("mount %s has option idmap, but no uidMappings, and the container has no user namespace to take them from", m.Destination)
	}
	return nil
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
		if m.Destination == dest && m.kind != remount {
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
		if m.kind == devMount {
			p.mountDev(m)
		}
		if m.kind != newMount {
			continue
		}
		p.Do("make %s for %s", m.Type, m.Destination)
		data := m.data(p.in.Spec.Linux.MountLabel)
		p.Remedy("the kernel lacks this file system, or refuses one of its options: %s", strings.Join(data, ","))
		source := m.Source
		if source == "" {
			source = m.Type
		}
		p.NewMount(m.Type, source, data, m.attrs(), m.slot)
		p.propagate(m.fd, m.opt.Propagations)
	}
	if !p.in.Rootless && p.lateBinds() {
		p.signal(p.made)
	}
}

// lateBinds says whether there are binds after file systems that the init makes.
func (p *planner) lateBinds() bool {
	first := slices.IndexFunc(p.mounts, func(m *mount) bool { return m.kind == newMount || m.kind == devMount })
	return first >= 0 && slices.ContainsFunc(p.mounts[first:], func(m *mount) bool { return m.kind == bindMount })
}

// propagate gives a mount its types of propagation. Detached, a new one is private.
func (p *planner) propagate(fd program.Arg, all []mountoption.Propagation) {
	for _, prop := range all {
		if prop.Type != linux.MsPrivate {
			p.SetAttr(fd, prop.Recursive, p.MountAttr(0, 0, prop.Type), call.PropagationText(prop.Type))
		}
	}
}
