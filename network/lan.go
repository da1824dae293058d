package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"berth/network/bridge"
	"berth/network/lan"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// dummy says that the parent is a device of berth's that leads nowhere.
func (s *state) dummy() bool { return s.rec.Options[lan.OptParent] == "" }

// shares says why a network cannot have its parent beside the others.
func (n *Networks) shares(s *state) error {
	for _, other := range n.states() {
		if other != s && other.Lan != nil {
			if err := lan.Share(*s.Lan, *other.Lan, other.rec.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// tryLan makes the parent of a new network, and sees whether the kernel makes
// devices on it. Nothing of it is left on an error.
func (n *Networks) tryLan(h *host, s *state) (err error) {
	if err := n.shares(s); err != nil {
		return err
	}
	parent, err := s.ensure(h)
	if err == nil {
		for _, pool := range s.pools {
			if r := pool.Resolver(); slices.Contains(parent.Addresses, r) {
				err = invalid("network %s: the name server would have the address %s, which is the host's: give an --ip-range without it, or --aux-address host=%s", s.rec.Name, r, r)
			}
		}
	}
	if err == nil {
		err = h.links.Try(bridge.Veth{Lan: s.Lan, MTU: int(s.MTU)})
	}
	if err != nil {
		return errors.Join(err, n.removeParent(h, s))
	}
	return nil
}

// ensureLan makes the parent if it is one of ours, and keeps the host's addresses on
// it from being handed out: nobody asks for those in the whole LAN.
func (s *state) ensureLan(h *host) (bridge.Parent, error) {
	p, err := h.links.EnsureParent(*s.Lan, s.rec.ID, s.dummy())
	if err != nil {
		return p, err
	}
	if s.MTU > p.MTU {
		return p, invalid("network %s: its MTU %d is more than the %d of parent %s: give that or less", s.rec.Name, s.MTU, p.MTU, s.Lan.Parent)
	}
	for _, pool := range s.pools {
		for _, a := range p.Addresses {
			pool.Reserve(a, "an address of the host")
		}
	}
	return p, nil
}

// removeParent removes the parent of a network, if we made it and no other has it.
func (n *Networks) removeParent(h *host, s *state) error {
	var heirs []string
	for _, other := range n.states() {
		if other != s && other.Lan != nil && other.Lan.Parent == s.Lan.Parent {
			heirs = append(heirs, other.rec.ID)
		}
	}
	return h.links.RemoveParent(s.Lan.Parent, s.rec.ID, heirs)
}

// placeLan completes an endpoint that is on no bridge.
func (n *Networks) placeLan(s *state, up *raised, ep *Endpoint) error {
	own := *s.Lan
	ep.Lan, ep.Bridge, ep.Host, ep.Hairpin, ep.Isolated = &own, "", "", false, false
	if !own.SharesMAC() {
		return nil
	}
	if ep.Settings != nil && len(ep.Settings.MacAddress) > 0 {
		return invalid("network %s: its interfaces have the MAC address of parent %s: leave --mac-address out", s.rec.Name, own.Parent)
	}
	ep.MAC = up.parent.MAC
	if users := n.inUse(s); own.Mode == "passthru" && len(users) > 0 {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"network %s is in mode passthru, for one container, and %s is in it: stop or disconnect that first", s.rec.Name, strings.Join(users, ", ")))
	}
	return nil
}

// Entered tells which process is in a container's network namespace. Interfaces
// that the host has no end of are found by that.
func (n *Networks) Entered(container string, pid int) error {
	if _, sb := n.sandbox(container); sb == nil || len(sb.Lans()) == 0 {
		return nil
	}
	return n.namespaces.Enter(container, pid)
}

// unplug takes an interface out of a running container.
func (n *Networks) unplug(h *host, container string, pid int, ep *Endpoint) error {
	if ep.Lan != nil {
		return n.namespaces.Unplug(h.links, container, pid, ep.Veth())
	}
	// By the host's end: what the container calls its own is the container's to change.
	return h.links.RemoveLink(ep.Host)
}

// depart makes sure that the addresses of an ended container are free at its parents.
func (n *Networks) depart(sb *Sandbox) error {
	all := sb.Lans()
	if len(all) == 0 {
		return nil
	}
	h, err := n.open()
	if err != nil {
		return err
	}
	return n.namespaces.Leave(h.links, sb.Container, all)
}

// Unpublished says which of networks have no published ports, if all are such.
func (n *Networks) Unpublished(wants []Want) (names []string) {
	for _, w := range wants {
		s, err := n.find(w.Ref)
		if err != nil || s.Lan == nil {
			return nil
		}
		names = append(names, s.rec.Name)
	}
	return names
}

// unspecified stand for gateways where none is needed.
func unspecified(rec network.Network) (all []netip.Addr) {
	for _, c := range rec.IPAM.Config {
		if c.Subnet.Addr().Is4() {
			all = append(all, netip.IPv4Unspecified())
		} else {
			all = append(all, netip.IPv6Unspecified())
		}
	}
	return all
}
