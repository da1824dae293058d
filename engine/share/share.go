// Package share is what a container shares with another: its network, its
// processes, its ipc objects (--network, --pid and --ipc container:NAME).
//
// Level: L3, a subroom of engine.
// Owns: which requests can share, and what of a running container another joins.
// May import: container, internal/fault, ociruntime/lifecycle, spec, moby/moby/api.
// Must not know: how containers are found and started.
//
// Rights in a namespace are those in the user namespace that owns it. So a
// container that shares with another lives in the other's user namespace and, for
// that run, has its range of ids. Files on disk keep the ids that the images gave
// them: they are seen through idmapped mounts.
package share

import (
	"fmt"
	"strings"

	"berth/container"
	"berth/internal/fault"
	"berth/spec"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	mnetwork "github.com/moby/moby/api/types/network"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// prefix begins the modes that share with another container.
const prefix = "container:"

// kind is a namespace that can be shared.
type kind struct {
	name specs.LinuxNamespaceType
	word string // as errors say it
	mode string
	set  func(string)
}

// kinds are the request's modes.
func kinds(h *mcontainer.HostConfig) []kind {
	return []kind{
		{specs.NetworkNamespace, "network", string(h.NetworkMode), func(m string) { h.NetworkMode = mcontainer.NetworkMode(m) }},
		{specs.PIDNamespace, "PID namespace", string(h.PidMode), func(m string) { h.PidMode = mcontainer.PidMode(m) }},
		{specs.IPCNamespace, "IPC namespace", string(h.IpcMode), func(m string) { h.IpcMode = mcontainer.IpcMode(m) }},
	}
}

// other is the container that a mode names.
func (k kind) other() (ref string, ok bool) { return strings.CutPrefix(k.mode, prefix) }

// Any says whether a container shares anything with another.
func Any(h *mcontainer.HostConfig) bool {
	for _, k := range kinds(h) {
		if _, ok := k.other(); ok {
			return true
		}
	}
	return false
}

// Placeholders stand for the namespaces to be joined, where a spec is built that is
// not run.
func Placeholders(h *mcontainer.HostConfig) map[specs.LinuxNamespaceType]string {
	paths := map[specs.LinuxNamespaceType]string{}
	for _, k := range kinds(h) {
		if ref, ok := k.other(); ok {
			paths[k.name] = "of " + ref
			if spec.OwnIDs(h) {
				paths[specs.UserNamespace] = "of " + ref
			}
		}
	}
	return paths
}

// Resolve checks a create request and puts ids in the place of names, so that the
// containers may be renamed: c, h and networks are as they were asked for, without
// what the image says. find is of class NotFound for what is not there.
func Resolve(c *mcontainer.Config, h *mcontainer.HostConfig, networks map[string]*mnetwork.EndpointSettings, find func(ref string) (*container.Container, error)) error {
	for _, k := range kinds(h) {
		ref, ok := k.other()
		if !ok {
			continue
		}
		if ref == "" {
			return invalid("invalid mode %q: it is container:NAME", k.mode)
		}
		if k.name == specs.NetworkNamespace {
			if err := alone(c, h, networks); err != nil {
				return err
			}
		}
		other, err := find(ref)
		if err != nil {
			return err
		}
		k.set(prefix + other.ID())
	}
	return nil
}

// alone refuses, in Docker's words, what would be for a network of one's own.
func alone(c *mcontainer.Config, h *mcontainer.HostConfig, networks map[string]*mnetwork.EndpointSettings) error {
	const mode = "the network mode: it is the other container's, leave it out"
	for _, o := range []struct {
		set  bool
		what string
	}{
		{c.Hostname != "", "hostname and " + mode},
		{c.Domainname != "", "domain name and " + mode},
		{len(h.DNS)+len(h.DNSSearch)+len(h.DNSOptions) > 0, "dns and " + mode},
		{len(h.ExtraHosts) > 0, "custom host-to-IP mapping and " + mode},
		{len(h.PortBindings) > 0 || h.PublishAllPorts, "port publishing and the container type network mode: publish it with the other container"},
		{len(c.ExposedPorts) > 0, "port exposing and the container type network mode: expose it with the other container"},
	} {
		if o.set {
			return invalid("conflicting options: %s", o.what)
		}
	}
	for name, s := range networks {
		switch {
		case name != string(h.NetworkMode):
			return invalid("conflicting options: --network %s excludes network %s", h.NetworkMode, name)
		case s == nil:
		case len(s.MacAddress) > 0:
			return invalid("conflicting options: mac-address and %s", mode)
		case len(s.Aliases) > 0:
			return invalid("conflicting options: network-alias and %s", mode)
		case s.IPAMConfig != nil || len(s.DriverOpts) > 0 || s.GwPriority != 0:
			return invalid("conflicting options: the settings of an endpoint and %s", mode)
		}
	}
	return nil
}

// NetworkOf follows --network container:ID to the id of the container that has
// the network, as far as the containers are still there.
func NetworkOf(c *container.Container, find func(ref string) (*container.Container, error)) *container.Container {
	for {
		h := c.Record().HostConfig
		id, ok := strings.CutPrefix(string(h.NetworkMode), prefix)
		if !ok {
			return c
		}
		next, err := find(id)
		if err != nil { // it was removed; whoever is in its network stays there
			return c
		}
		c = next // no circle: each was there before the one that names it
	}
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func conflict(format string, args ...any) error {
	return fault.Errorf(errdefs.ErrConflict, format, args...)
}
