package spec

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// setNamespaces lists the namespaces: new ones, except where the request
// shares the host's (not listed) or another container's (a path).
func (b *builder) setNamespaces() error {
	h := b.HostConfig
	switch {
	case !h.UsernsMode.Valid():
		return invalid("invalid --userns %q: only host is there", h.UsernsMode)
	case !h.PidMode.Valid():
		return invalid("invalid --pid %q: use host or container:NAME", h.PidMode)
	case (h.PidMode.IsHost() || h.PidMode.IsContainer()) && b.Host.Rootless:
		return invalid("--pid %s is not available to ordinary users: without cgroups nothing could end all processes of the container", h.PidMode)
	case !h.IpcMode.Valid():
		return invalid("invalid --ipc %q: use none, private, shareable, host or container:NAME", h.IpcMode)
	case !h.UTSMode.Valid():
		return invalid("invalid --uts %q: only host is there", h.UTSMode)
	case !h.CgroupnsMode.Valid():
		return invalid("invalid --cgroupns %q: use host or private", h.CgroupnsMode)
	}
	if b.userns {
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: b.IDs.Host, Size: b.IDs.Size}}
		b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = ids, ids
	}
	for _, n := range []struct {
		kind      specs.LinuxNamespaceType
		host      bool
		container bool
		option    string
	}{
		{specs.MountNamespace, false, false, ""},
		{specs.PIDNamespace, h.PidMode.IsHost(), h.PidMode.IsContainer(), "--pid " + string(h.PidMode)},
		{specs.NetworkNamespace, h.NetworkMode.IsHost(), h.NetworkMode.IsContainer(), "--network " + string(h.NetworkMode)},
		{specs.IPCNamespace, h.IpcMode.IsHost(), h.IpcMode.IsContainer(), "--ipc " + string(h.IpcMode)},
		{specs.UTSNamespace, h.UTSMode.IsHost(), false, ""},
		{specs.CgroupNamespace, h.CgroupnsMode.IsHost(), false, ""},
		{specs.UserNamespace, !b.userns, false, ""},
	} {
		if n.host {
			continue
		}
		p := b.Namespaces[n.kind]
		if n.container && p == "" {
			return invalid("%s: that container does not run", n.option)
		}
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: n.kind, Path: p})
	}
	return nil
}

// sharesHost reports whether the container uses one of the host's namespaces
// from a user namespace of its own: it has no rights over that.
func (b *builder) sharesHost(kind specs.LinuxNamespaceType) bool {
	return b.userns && !slices.ContainsFunc(b.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}
