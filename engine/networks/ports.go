package networks

import (
	"context"
	"errors"
	"net/netip"
	"os"

	"berth/container"
	"berth/network"
	"berth/network/portmap"

	"github.com/containerd/errdefs"
	mevents "github.com/moby/moby/api/types/events"
	mnetwork "github.com/moby/moby/api/types/network"
)

// PortUpdate is a change of a container's published ports.
type PortUpdate struct {
	// Publish are to be published beside those that are.
	Publish mnetwork.PortMap
	// Unpublish are to be published no more.
	Unpublish []PublishedPort
}

// PublishedPort names published ports: by a port of the host, or a range of them; or all
// that lead to a port of the container.
type PublishedPort struct {
	HostIP        netip.Addr // at which it was asked for; not valid: any
	HostPort      string     `json:",omitempty"` // 8080 or 8000-8010
	ContainerPort uint16     `json:",omitempty"` // instead of HostPort
	Protocol      mnetwork.IPProtocol
}

// maxUnpublish bounds a request.
const maxUnpublish = 8192

// ContainerPorts changes the published ports of a container, running or not: all that is asked
// for, or nothing. Connections of TCP that are open go on. A port that is taken is of class Conflict, one that is not
// published, or cannot be, of class InvalidArgument.
func (v *Verbs) ContainerPorts(ctx context.Context, ref string, u PortUpdate) error {
	matches, err := u.matches()
	if err != nil {
		return err
	}
	c, unlock, err := v.c.Lock(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	rec := c.Record()
	if !joins(&rec) {
		return errdefs.ErrConflict.WithMessage("container " + rec.Name + " has no network of its own (--network " +
			string(rec.HostConfig.NetworkMode) + "): it cannot publish ports")
	}
	var have []portmap.Port
	if sb := v.c.Networks.Sandbox(rec.ID); sb != nil {
		have = sb.Ports
	}
	rest, err := portmap.Without(rec.HostConfig.PortBindings, rec.Config.ExposedPorts, rec.HostConfig.PublishAllPorts, have, matches)
	if err != nil {
		return err
	}
	for port, list := range u.Publish {
		if len(list) == 0 {
			list = []mnetwork.PortBinding{{}}
		}
		rest.Bindings[port] = append(rest.Bindings[port], list...)
	}
	wants, err := portmap.Parse(rest.Bindings, rec.Config.ExposedPorts, rest.All)
	if err == nil {
		err = portmap.Twice(wants)
	}
	if err == nil && rec.State.Pid == 0 {
		err = v.publishable(&rec, wants)
	}
	if err != nil {
		return err
	}
	if err := v.republish(c, wants, rest, len(u.Publish) == 0); err != nil {
		return err
	}
	v.c.Tell(c, mevents.ActionUpdate)
	return nil
}

func (u *PortUpdate) matches() ([]portmap.Match, error) {
	if len(u.Unpublish) > maxUnpublish {
		return nil, errdefs.ErrInvalidArgument.WithMessage("more than 8192 ports are to be published no more: name ranges")
	}
	var all []portmap.Match
	for _, p := range u.Unpublish {
		m, err := portmap.NewMatch(p.HostIP, p.HostPort, p.ContainerPort, p.Protocol)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	if len(u.Publish) == 0 && len(all) == 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage("nothing is asked for: name ports to publish, or to publish no more")
	}
	return all, nil
}

// publishable refuses what a container that does not run could not publish when it starts.
func (v *Verbs) publishable(rec *container.Record, ports []portmap.Want) error {
	if len(ports) == 0 {
		return nil
	}
	if len(v.c.Networks.Unpublished(wantsOf(rec))) > 0 {
		return errdefs.ErrFailedPrecondition.WithMessage("ports cannot be published: the container's way out is a LAN, where it is reached itself")
	}
	for name := range Of(rec) {
		n, err := v.c.Networks.Get(name)
		if err != nil {
			continue // somebody removed it: the start tells
		}
		if !n.Internal {
			return nil
		}
	}
	return errdefs.ErrFailedPrecondition.WithMessage("ports cannot be published: all networks of the container are internal")
}

func wantsOf(rec *container.Record) []network.Want { return wants(rec.HostConfig.NetworkMode, Of(rec)) }

// storeRunning is store for a container that may have ended just now.
func (v *Verbs) storeRunning(sb *network.Sandbox) error {
	if err := v.store(sb); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// republish does it; less: nothing is added. The record is what counts if the daemon is killed on the way: the
// next one makes the ports what that says ([Verbs.Restore]).
func (v *Verbs) republish(c *container.Container, wants []portmap.Want, rest portmap.Rest, less bool) error {
	change, err := v.c.Networks.Republish(c.ID(), rest.Gone, wants)
	if less && errdefs.IsFailedPrecondition(err) { // no network leads anywhere: none is published now
		change, err = nil, nil
	}
	if err != nil {
		return err
	}
	if change != nil {
		err = v.storeRunning(change.Sandbox())
	}
	if err == nil {
		err = c.Update(func(r *container.Record) error {
			host := *r.HostConfig
			host.PortBindings, host.PublishAllPorts = rest.Bindings, rest.All
			r.HostConfig = &host
			return nil
		})
	}
	if change == nil {
		return err
	}
	if err != nil {
		err = errors.Join(err, change.Undo())
		if sb := v.c.Networks.Sandbox(c.ID()); sb != nil {
			err = errors.Join(err, v.storeRunning(sb))
		}
		return err
	}
	change.Keep()
	return nil
}
