package spec

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultShmSize is Docker's size of /dev/shm.
const defaultShmSize = 64 << 20

// setMounts lists the kernel's file systems, the files that berth provides and
// the request's mounts, parents before what lies in them.
func (b *builder) setMounts() error {
	mounts := b.Mounts
	if mounts == nil {
		var err error
		if mounts, err = Mounts(b.cfg, b.HostConfig); err != nil {
			return err
		}
	}
	kernel, err := b.kernelMounts()
	if err != nil {
		return err
	}
	asked := func(own specs.Mount) bool {
		return slices.ContainsFunc(mounts, func(m Mount) bool {
			return m.Target == own.Destination || m.Target == "/dev" && strings.HasPrefix(own.Destination, "/dev/")
		})
	}
	kernel = slices.DeleteFunc(kernel, asked)
	all := append(kernel, slices.DeleteFunc(b.fileMounts(), asked)...)
	if b.HostConfig.ReadonlyRootfs {
		for i, m := range all {
			if m.Type == "bind" && !slices.Contains(m.Options, "ro") {
				all[i].Options = append(m.Options, "ro")
			}
		}
	}
	for _, m := range mounts {
		sm, err := b.mount(m)
		if err != nil {
			return err
		}
		all = append(all, sm)
	}
	slices.SortStableFunc(all[len(kernel):], func(x, y specs.Mount) int { return depth(x.Destination) - depth(y.Destination) })
	for i := range all {
		reachBelow(&all[i])
	}
	b.spec.Mounts = all
	return nil
}

// reachBelow makes what restricts a bind hold for the mounts below it too: "ro"
// alone is for the upper one, "rro" for all.
func reachBelow(m *specs.Mount) {
	if !slices.Contains(m.Options, "rbind") {
		return
	}
	m.Options = slices.Clone(m.Options)
	for i, o := range m.Options {
		switch o {
		case "ro", "nosuid", "nodev", "noexec":
			m.Options[i] = "r" + o
		}
	}
}

func depth(p string) int { return strings.Count(path.Clean(p), "/") }

// kernelMounts are Docker's. Where a container with a user namespace shares one
// of the host's others, it may not mount that view anew and gets the host's.
func (b *builder) kernelMounts() ([]specs.Mount, error) {
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
	}
	if b.sharesHost(specs.IPCNamespace) && !b.Host.MessageQueues {
		mounts = mounts[:5] // no view of them that could be shared
	}
	for i, kind := range map[int]specs.LinuxNamespaceType{0: specs.PIDNamespace, 3: specs.NetworkNamespace, 4: specs.CgroupNamespace, 5: specs.IPCNamespace} {
		if i < len(mounts) && b.sharesHost(kind) {
			m := &mounts[i]
			m.Type, m.Source = "bind", m.Destination
			m.Options = append([]string{"rbind", "rslave"}, m.Options...)
		}
	}
	if b.HostConfig.Privileged {
		for i := range mounts {
			mounts[i].Options = slices.DeleteFunc(mounts[i].Options, func(o string) bool { return o == "ro" })
		}
	}
	shm, err := b.shm()
	return append(mounts, shm...), err
}

// shm is /dev/shm: its size is --shm-size, it follows the ipc namespace.
func (b *builder) shm() ([]specs.Mount, error) {
	h, bind := b.HostConfig, ""
	switch {
	case h.ShmSize < 0:
		return nil, invalid("--shm-size %d is negative", h.ShmSize)
	case h.IpcMode.IsNone():
		return nil, nil
	case h.IpcMode.IsHost():
		bind = "/dev/shm"
	case h.IpcMode.IsContainer(): // the caller has a copy of the other's mount
		return []specs.Mount{{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"tmpcopyup", "nosuid", "noexec", "nodev", "mode=1777"}}}, nil
	}
	if bind != "" {
		return []specs.Mount{{Destination: "/dev/shm", Type: "bind", Source: bind, Options: []string{"rbind", "rprivate", "nosuid", "noexec", "nodev"}}}, nil
	}
	size := h.ShmSize
	if size == 0 {
		size = defaultShmSize
	}
	return []specs.Mount{{
		Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
		Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(size, 10)},
	}}, nil
}

func (b *builder) fileMounts() []specs.Mount {
	var mounts []specs.Mount
	for _, f := range []struct{ source, dest string }{
		{b.Files.ResolvConf, "/etc/resolv.conf"}, {b.Files.Hostname, "/etc/hostname"}, {b.Files.Hosts, "/etc/hosts"},
	} {
		if f.source != "" {
			mounts = append(mounts, b.idmapped(specs.Mount{Destination: f.dest, Type: "bind", Source: f.source, Options: []string{"bind", "rprivate"}}))
		}
	}
	return mounts
}

// idmapped shows the ids on disk as the container's own: what the host's root
// owns belongs to the container's root. Not those of mounts below it: many file
// systems have no idmapped mounts.
func (b *builder) idmapped(m specs.Mount) specs.Mount {
	if b.userns {
		m.Options = append(m.Options, "idmap")
		m.UIDMappings, m.GIDMappings = b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings
	}
	return m
}

// mount gives one mount of the request.
func (b *builder) mount(m Mount) (specs.Mount, error) {
	if m.Type == mount.TypeTmpfs {
		return specs.Mount{Destination: m.Target, Type: "tmpfs", Source: "tmpfs", Options: m.TmpfsOptions}, nil
	}
	if m.Source == "" {
		return specs.Mount{}, fmt.Errorf("volume %q at %s has no directory", m.Name, m.Target)
	}
	recursive, propagation := "rbind", m.Propagation
	if m.NonRecursive {
		recursive = "bind"
	}
	if propagation == "" {
		propagation = mount.PropagationRPrivate
	}
	options := []string{recursive, string(propagation)}
	if m.ReadOnly {
		options = append(options, "ro")
	}
	b.sharePropagation(propagation)
	return b.idmapped(specs.Mount{Destination: m.Target, Type: "bind", Source: m.Source, Options: options}), nil
}

// sharePropagation opens the root to what a mount asks for: a shared one needs
// a shared root, a slave one a slave.
func (b *builder) sharePropagation(p mount.Propagation) {
	l := b.spec.Linux
	switch p {
	case mount.PropagationShared, mount.PropagationRShared:
		l.RootfsPropagation = "shared"
	case mount.PropagationSlave, mount.PropagationRSlave:
		if l.RootfsPropagation == "" {
			l.RootfsPropagation = "rslave"
		}
	}
}
