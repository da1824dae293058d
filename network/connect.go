package network

import (
	"errors"
	"fmt"
	"slices"

	"berth/internal/cleanup"

	"github.com/containerd/errdefs"
)

// Connect puts a running container, whose first process is pid, into one more
// network. It returns the new sandbox.
func (n *Networks) Connect(r Request, pid int) (_ *Sandbox, err error) {
	var undo cleanup.Stack
	defer undo.Run(&err)
	if err := n.Check(r.Networks); err != nil {
		return nil, err
	}
	s, err := n.find(r.Networks[0].Ref)
	if err != nil {
		return nil, err
	}
	letGo, err := n.hold(r.Networks)
	if err != nil {
		return nil, err
	}
	defer letGo()
	old, sb := n.sandbox(r.Container)
	if sb == nil {
		sb = &Sandbox{Container: r.Container, Name: r.Name, Servers: r.Servers}
	}
	if sb.In(s.rec.ID) != nil {
		return nil, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("container %s is in network %s already", r.Name, s.rec.Name))
	}
	ep, err := n.enter(r, r.Networks[0], sb.FreeName())
	if err != nil {
		return nil, err
	}
	undo.Add(func() error { return n.release(ep) })
	h, err := n.ready()
	if err != nil {
		return nil, err
	}
	n.ruling.Lock()
	defer n.ruling.Unlock()
	if !n.current(r.Container, old) {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s has ended", r.Name))
	}
	gw := sb.Gateway()
	first := gw == nil && !ep.Internal
	sb.Endpoints = append(sb.Endpoints, ep)
	if first {
		ep.Default = true
	}
	if err := h.links.Plug(pid, ep.Veth()); err != nil {
		return nil, fmt.Errorf("join network %s: %w", s.rec.Name, err)
	}
	undo.Add(func() error {
		return errors.Join(n.unplug(h, r.Container, pid, ep), h.links.RemoveShaper(ep.Limit.Shaper))
	})
	switch {
	case first: // there was no way for ports
		err = n.publish(sb, r.Ports, &undo)
	case gw != nil && !ep.Internal && ep.Priority() > gw.Priority():
		gw.Default, ep.Default = false, true
		undo.Add(func() error { return h.links.SetGateways(pid, gw.Inside, gw.Gateways) })
		if err = h.links.SetGateways(pid, ep.Inside, ep.Gateways); err == nil { // from here on nothing fails
			n.follow(h, old, sb, r.Ports)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("join network %s: %w", s.rec.Name, err)
	}
	n.admit(sb)
	undo.Release()
	if err := n.Entered(r.Container, pid); err != nil {
		n.Log.Error("join network", "network", s.rec.Name, "container", r.Name, "error", err)
	}
	return sb.Clone(), nil
}

// Disconnect takes a running container, whose first process is pid, out of the request's
// network. It returns the new sandbox.
func (n *Networks) Disconnect(r Request, pid int) (*Sandbox, error) {
	s, err := n.find(r.Networks[0].Ref)
	if err != nil {
		return nil, err
	}
	h, err := n.ready()
	if err != nil {
		return nil, err
	}
	n.ruling.Lock()
	defer n.ruling.Unlock()
	old, sb := n.sandbox(r.Container)
	var ep *Endpoint
	if sb != nil {
		ep = sb.In(s.rec.ID)
	}
	if ep == nil {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container is not in network %s", s.rec.Name))
	}
	if err := n.unplug(h, r.Container, pid, ep); err != nil {
		return nil, fmt.Errorf("leave network %s: %w", s.rec.Name, err)
	}
	// The interface is gone: what follows is finished whatever goes wrong.
	sb.Endpoints = slices.DeleteFunc(sb.Endpoints, func(e *Endpoint) bool { return e == ep })
	err = h.links.RemoveShaper(ep.Limit.Shaper)
	if ep.Default { // its ports lead there
		sb.ChooseDefault()
		if gw := sb.Gateway(); gw != nil {
			err = errors.Join(err, h.links.SetGateways(pid, gw.Inside, gw.Gateways))
		}
		n.follow(h, old, sb, r.Ports)
	}
	n.admit(sb)
	if err = errors.Join(err, n.release(ep)); err != nil {
		n.Log.Error("leave network", "network", s.rec.Name, "container", sb.Name, "error", err)
	}
	return sb.Clone(), nil
}

// Rename gives a running container another name in its networks. It returns the
// new sandbox, nil if the container has none.
func (n *Networks) Rename(container, name string) *Sandbox {
	sb := n.rename(container, name)
	if sb != nil {
		n.ports.Rename(sb.Ports, name)
	}
	return sb
}

func (n *Networks) rename(container, name string) *Sandbox {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.sandboxes[container]
	if old == nil {
		return nil
	}
	sb := old.Clone()
	sb.Name = name
	for _, ep := range sb.Endpoints {
		others := slices.DeleteFunc(slices.Clone(ep.Names), func(other string) bool {
			return other == name || other == old.Name && !slices.Contains(ep.Aliases, other)
		})
		ep.Names = append([]string{name}, others...)
	}
	n.admitLocked(sb)
	return sb.Clone()
}
