package network

import (
	"errors"
	"net/netip"
	"slices"

	"berth/internal/cleanup"
	"berth/network/firewall"
	"berth/network/portmap"

	"github.com/containerd/errdefs"
)

// publish holds the host's ports and leads them to the container.
func (n *Networks) publish(sb *Sandbox, wants []portmap.Want, undo *cleanup.Stack) error {
	if len(wants) == 0 {
		return nil
	}
	gw := sb.Publishes()
	if gw == nil && len(sb.Lans()) > 0 {
		n.Log.Warn("published ports are discarded: the container's way out is a LAN, where it is reached itself", "container", sb.Name)
		return nil
	}
	if gw == nil {
		return noWay(sb)
	}
	wants, err := n.bound(gw, wants)
	if err != nil {
		return err
	}
	if sb.Ports, err = n.ports.Reserve(sb.Name, wants, gw.Families()); err != nil {
		return err
	}
	undo.Add(func() error { n.ports.Release(sb.Ports); return nil })
	h, err := n.ready()
	if err != nil {
		return err
	}
	rules := sb.Rules()
	if err := h.table.AddPorts(rules); err != nil {
		return err
	}
	undo.Add(func() error { return h.table.RemovePorts(rules) })
	undo.Add(func() error { n.relayInstead(sb, nil); return nil })
	n.relayInstead(nil, sb)
	return h.forgetFlows(rules)
}

// noWay says why a container cannot publish ports.
func noWay(sb *Sandbox) error {
	if len(sb.Lans()) > 0 {
		return errdefs.ErrFailedPrecondition.WithMessage("ports cannot be published: the container's way out is a LAN, where it is reached itself")
	}
	return errdefs.ErrFailedPrecondition.WithMessage("ports cannot be published: all networks of the container are internal")
}

// bound are wants with the address at which the endpoint's network publishes if nothing is said.
func (n *Networks) bound(gw *Endpoint, wants []portmap.Want) ([]portmap.Want, error) {
	s, err := n.find(gw.Network)
	if err != nil {
		return nil, err
	}
	wants = slices.Clone(wants)
	for i := range wants {
		if !wants[i].HostIP.IsValid() {
			wants[i].HostIP = s.Bind
		}
	}
	return wants, nil
}

// unpublish ends the publishing of all ports of a container.
func (n *Networks) unpublish(sb *Sandbox) error {
	defer n.ports.Release(sb.Ports)
	n.relayInstead(sb, nil)
	rules := sb.Rules()
	if len(rules) == 0 {
		return nil
	}
	h, err := n.ready()
	if err != nil {
		return err
	}
	return errors.Join(h.table.RemovePorts(rules), h.forgetFlows(nowhere(rules)))
}

// nowhere are ports that lead nowhere any more: a flow to a container that is gone would go to
// the next one that has its address.
func nowhere(rules []firewall.Port) []firewall.Port {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].To = netip.AddrPort{}
	}
	return rules
}

// move leads published ports from where they lead to elsewhere, in one change.
func (h *host) move(from, to []firewall.Port) error {
	less := func(a, b []firewall.Port) []firewall.Port {
		in := make(map[firewall.Port]bool, len(b))
		for _, p := range b {
			in[p] = true
		}
		return slices.DeleteFunc(slices.Clone(a), func(p firewall.Port) bool { return in[p] })
	}
	from, to = less(from, to), less(to, from)
	if len(from)+len(to) == 0 {
		return nil
	}
	return errors.Join(h.table.MovePorts(from, to), h.forgetFlows(nowhere(from)), h.forgetFlows(to))
}

// follow makes a container's ports lead where its default route now is, as far as they
// can: those of IPv6 go with a network that has it, and come back. A port that
// cannot be published any more is told to the log. Call it with ruling held for writing.
func (n *Networks) follow(h *host, old, sb *Sandbox, ports []portmap.Want) {
	n.relayInstead(old, nil)
	var err error
	if gw := sb.Publishes(); gw == nil {
		n.ports.Release(old.Ports)
		sb.Ports = nil
	} else if wants, e := n.bound(gw, ports); e != nil {
		err = e
	} else {
		sb.Ports, err = n.ports.Follow(sb.Name, old.Ports, wants, gw.Families())
	}
	n.relayInstead(nil, sb)
	if err = errors.Join(err, h.move(old.Rules(), sb.Rules())); err != nil {
		n.Log.Error("publish the ports of a container whose networks have changed", "container", sb.Name, "error", err)
	}
}

// forgetLeft ends what the kernel remembers of flows to ports that a container had before.
func (n *Networks) forgetLeft(sb *Sandbox, before []portmap.Port) error {
	gone := portmap.Minus(before, sb.Ports)
	if len(gone) == 0 {
		return nil
	}
	h, err := n.open()
	if err != nil {
		return err
	}
	left := sb.Clone()
	left.Ports = gone
	return h.forgetFlows(nowhere(left.Rules()))
}

// Republished is a change of a running container's ports that can still be undone.
type Republished struct {
	n           *Networks
	host        *host
	before, now *Sandbox
}

// Republish makes the ports of a running container those of the wants, all or none of them; those
// that it has and that are wanted stay as they are, but for those of gone. nil: the container does not run.
// Keep or Undo follows.
func (n *Networks) Republish(container string, gone []portmap.Port, ports []portmap.Want) (*Republished, error) {
	if n.Sandbox(container) == nil {
		return nil, nil //nolint:nilnil // which is no error
	}
	h, err := n.ready()
	if err != nil {
		return nil, err
	}
	n.ruling.Lock()
	defer n.ruling.Unlock()
	old, sb := n.sandbox(container)
	if sb == nil {
		return nil, nil //nolint:nilnil // it has ended just now
	}
	gw := sb.Publishes()
	if gw == nil && len(ports) > 0 {
		return nil, noWay(sb)
	}
	if gw != nil {
		wants, err := n.bound(gw, ports)
		if err != nil {
			return nil, err
		}
		if sb.Ports, err = n.ports.Agree(sb.Name, old.Ports, gone, wants, gw.Families()); err != nil {
			return nil, err
		}
	}
	r := &Republished{n: n, host: h, before: old, now: sb}
	if err := r.lead(old, sb); err != nil {
		return nil, errors.Join(err, r.undo())
	}
	n.admit(sb)
	return r, nil
}

// lead makes rules and relays those of another sandbox.
func (r *Republished) lead(from, to *Sandbox) error {
	r.n.relayInstead(from, to)
	return r.host.move(from.Rules(), to.Rules())
}

// Sandbox is what the container has with the change.
func (r *Republished) Sandbox() *Sandbox { return r.now.Clone() }

// Keep makes the change one for good: what was published no more is free.
func (r *Republished) Keep() {
	r.n.ports.Release(portmap.Minus(r.before.Ports, r.now.Ports))
}

// Undo gives the container the ports that it had before.
func (r *Republished) Undo() error {
	r.n.ruling.Lock()
	defer r.n.ruling.Unlock()
	if !r.n.current(r.now.Container, r.now) { // it has ended, and with it what it had
		r.Keep()
		return nil
	}
	err := r.undo()
	r.n.admit(r.before)
	return err
}

func (r *Republished) undo() error {
	err := r.lead(r.now, r.before)
	r.n.ports.Release(portmap.Minus(r.now.Ports, r.before.Ports))
	return err
}

// relayInstead relays what comes to the [::1] ports of a sandbox instead of another's; nil: none.
func (n *Networks) relayInstead(of, sb *Sandbox) {
	n.relay.Change(of.Relays(), sb.Relays(), n.ports.Socket)
}
