package network

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"berth/internal/cleanup"
	"berth/network/bridge"
	"berth/network/firewall"
	"berth/ociruntime/plan/netdevice"

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
	if sb.endpoint(s.rec.ID) != nil {
		return nil, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("container %s is in network %s already", r.Name, s.rec.Name))
	}
	ep, err := n.enter(r, r.Networks[0], sb.freeName())
	if err != nil {
		return nil, err
	}
	undo.Add(func() error { return n.release(ep) })
	h, err := n.ready()
	if err != nil {
		return nil, err
	}
	n.ruling.RLock()
	defer n.ruling.RUnlock()
	before := sb.rules()
	gw := sb.gateway()
	first := gw == nil && !ep.Internal
	sb.Endpoints = append(sb.Endpoints, ep)
	if first {
		ep.Default = true
	}
	if err := h.links.Plug(pid, ep.veth()); err != nil {
		return nil, fmt.Errorf("join network %s: %w", s.rec.Name, err)
	}
	undo.Add(func() error {
		return errors.Join(n.unplug(h, r.Container, pid, ep), h.links.RemoveShaper(ep.Limit.Shaper))
	})
	switch {
	case first: // there was no way for ports
		err = n.publish(sb, r.Ports, &undo)
	case gw != nil && !ep.Internal && ep.priority() > gw.priority():
		gw.Default, ep.Default = false, true
		undo.Add(func() error { return h.links.SetGateways(pid, gw.Inside, gw.Gateways) })
		if err = h.links.SetGateways(pid, ep.Inside, ep.Gateways); err == nil {
			undo.Add(func() error { return h.move(sb.rules(), before) })
			err = h.move(before, sb.rules())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("join network %s: %w", s.rec.Name, err)
	}
	if !n.replace(old, sb) {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s has ended", r.Name))
	}
	undo.Release()
	if err := n.Entered(r.Container, pid); err != nil {
		n.Log.Error("join network", "network", s.rec.Name, "container", r.Name, "error", err)
	}
	return sb.clone(), nil
}

// Disconnect takes a running container out of a network. It returns the new sandbox.
func (n *Networks) Disconnect(container, ref string, pid int) (*Sandbox, error) {
	s, err := n.find(ref)
	if err != nil {
		return nil, err
	}
	old, sb := n.sandbox(container)
	var ep *Endpoint
	if sb != nil {
		ep = sb.endpoint(s.rec.ID)
	}
	if ep == nil {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container is not in network %s", s.rec.Name))
	}
	h, err := n.ready()
	if err != nil {
		return nil, err
	}
	n.ruling.RLock()
	defer n.ruling.RUnlock()
	before := sb.rules()
	if err := n.unplug(h, container, pid, ep); err != nil {
		return nil, fmt.Errorf("leave network %s: %w", s.rec.Name, err)
	}
	// The interface is gone: what follows is finished whatever goes wrong.
	sb.Endpoints = slices.DeleteFunc(sb.Endpoints, func(e *Endpoint) bool { return e == ep })
	errs := []error{h.links.RemoveShaper(ep.Limit.Shaper)}
	if ep.Default { // its ports lead there
		errs = append(errs, n.turn(h, sb, before, pid))
	}
	if n.replace(old, sb) { // else all of it was given back already
		errs = append(errs, n.release(ep))
	}
	if err := errors.Join(errs...); err != nil {
		n.Log.Error("leave network", "network", s.rec.Name, "container", sb.Name, "error", err)
	}
	return sb.clone(), nil
}

// turn gives a sandbox that has left its network of the default route another
// one, and its ports.
func (n *Networks) turn(h *host, sb *Sandbox, before []firewall.Port, pid int) error {
	sb.chooseDefault()
	gw := sb.gateway()
	if gw == nil {
		err := h.move(before, nil)
		n.ports.Release(sb.Ports)
		sb.Ports = nil
		return err
	}
	return errors.Join(h.links.SetGateways(pid, gw.Inside, gw.Gateways), h.move(before, sb.rules()))
}

// move leads published ports elsewhere.
func (h *host) move(from, to []firewall.Port) error {
	if len(from)+len(to) == 0 {
		return nil
	}
	return errors.Join(h.table.RemovePorts(from), h.table.AddPorts(to), h.forgetFlows(from), h.forgetFlows(to))
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
	sb := old.clone()
	sb.Name = name
	for _, ep := range sb.Endpoints {
		others := slices.DeleteFunc(slices.Clone(ep.Names), func(other string) bool {
			return other == name || other == old.Name && !slices.Contains(ep.Aliases, other)
		})
		ep.Names = append([]string{name}, others...)
	}
	n.admitLocked(sb)
	return sb.clone()
}

// freeName is a name that no interface of the container has.
func (sb *Sandbox) freeName() string {
	for i := 0; ; i++ {
		name := "eth" + strconv.Itoa(i)
		if !slices.ContainsFunc(sb.Endpoints, func(ep *Endpoint) bool { return ep.Inside == name }) {
			return name
		}
	}
}

func (ep *Endpoint) veth() bridge.Veth {
	v := bridge.Veth{
		Host: ep.Host, Inside: ep.Inside, HostIndex: ep.HostIndex, MAC: ep.MAC, MTU: int(ep.MTU),
		Bridge: ep.Bridge, Isolated: ep.Isolated, Hairpin: ep.Hairpin, Addresses: ep.Addresses,
		Limit: ep.Limit,
	}
	if ep.Lan != nil {
		v.Lan, v.InsideIndex = ep.Lan, netdevice.InsideIndex(ep.HostIndex)
	}
	if ep.Default {
		v.Gateways = ep.Gateways
	}
	return v
}
