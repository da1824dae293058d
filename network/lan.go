package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"berth/internal/linux/netns"
	"berth/network/bridge"
	"berth/ociruntime/plan/netdevice"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// The options of a macvlan or ipvlan network, as docker names them.
const (
	optParent      = "parent"
	optMacvlanMode = "macvlan_mode"
	optIpvlanMode  = "ipvlan_mode"
	optIpvlanFlag  = "ipvlan_flag"
)

// isLan says whether networks of a driver are on no bridge of ours, but at what a
// device of the host is plugged into.
func isLan(driver string) bool { return driver == bridge.Macvlan || driver == bridge.Ipvlan }

// newLan is how the devices of a network are made if nothing else is said.
func newLan(driver, id string) *bridge.Lan {
	if driver == bridge.Macvlan {
		return &bridge.Lan{Kind: driver, Mode: "bridge", Parent: "dm-" + id[:12]} // docker's names
	}
	return &bridge.Lan{Kind: driver, Mode: "l2", Flag: "bridge", Parent: "di-" + id[:12]}
}

// lanOption is option for a macvlan or ipvlan network.
func (s *state) lanOption(key, value string) error {
	switch {
	case key == optParent && value == "": // none
		return nil
	case key == optParent:
		s.lan.Parent = value
		return bridge.CheckName(value)
	case key == optMacvlanMode && s.lan.Kind == bridge.Macvlan, key == optIpvlanMode && s.lan.Kind == bridge.Ipvlan:
		s.lan.Mode = value
		return s.lan.Check()
	case key == optIpvlanFlag && s.lan.Kind == bridge.Ipvlan:
		s.lan.Flag = value
		return s.lan.Check()
	case key == optMTU:
		return s.setMTU(key, value)
	}
	known := []string{optParent, optMacvlanMode, optMTU}
	if s.lan.Kind == bridge.Ipvlan {
		known = []string{optParent, optIpvlanMode, optIpvlanFlag, optMTU}
	}
	return invalid("unknown option %.80q of a network of driver %s: known are %s", key, s.lan.Kind, strings.Join(known, ", "))
}

// dummy says that the parent is a device of berth's that leads nowhere.
func (s *state) dummy() bool { return s.rec.Options[optParent] == "" }

// shares says why a network cannot have its parent beside the others.
func (n *Networks) shares(s *state) error {
	for _, other := range n.states() {
		if other == s || other.lan == nil || other.lan.Parent != s.lan.Parent {
			continue
		}
		a, b := s.lan, other.lan
		why := ""
		switch {
		case a.Kind != b.Kind:
			why = fmt.Sprintf("is of %s network %s, and Linux has macvlans or ipvlans on a device, not both", b.Kind, other.rec.Name)
		case a.Mode == "passthru" || b.Mode == "passthru":
			why = fmt.Sprintf("is of network %s, and mode passthru takes a parent alone", other.rec.Name)
		case a.Kind == bridge.Ipvlan && *a != *b:
			why = fmt.Sprintf("is of network %s in mode %s %s, and Linux has one mode for all ipvlans of a device", other.rec.Name, b.Mode, b.Flag)
		default:
			continue
		}
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("parent %s %s: choose another parent", a.Parent, why))
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
		err = h.links.Try(bridge.Veth{Lan: s.lan, MTU: int(s.mtu)})
	}
	if err != nil {
		return errors.Join(err, n.removeParent(h, s))
	}
	return nil
}

// ensureLan makes the parent if it is one of ours, and keeps the host's addresses on
// it from being handed out: nobody asks for those in the whole LAN.
func (s *state) ensureLan(h *host) (bridge.Parent, error) {
	p, err := h.links.EnsureParent(*s.lan, s.rec.ID, s.dummy())
	if err != nil {
		return p, err
	}
	if s.mtu > p.MTU {
		return p, invalid("network %s: its MTU %d is more than the %d of parent %s: give that or less", s.rec.Name, s.mtu, p.MTU, s.lan.Parent)
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
		if other != s && other.lan != nil && other.lan.Parent == s.lan.Parent {
			heirs = append(heirs, other.rec.ID)
		}
	}
	return h.links.RemoveParent(s.lan.Parent, s.rec.ID, heirs)
}

// placeLan completes an endpoint that is on no bridge.
func (n *Networks) placeLan(s *state, up *raised, ep *Endpoint) error {
	lan := *s.lan
	ep.Lan, ep.Bridge, ep.Host, ep.Hairpin, ep.Isolated = &lan, "", "", false, false
	if !lan.SharesMAC() {
		return nil
	}
	if ep.Settings != nil && len(ep.Settings.MacAddress) > 0 {
		return invalid("network %s: its interfaces have the MAC address of parent %s: leave --mac-address out", s.rec.Name, lan.Parent)
	}
	ep.MAC = up.parent.MAC
	if users := n.inUse(s); lan.Mode == "passthru" && len(users) > 0 {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"network %s is in mode passthru, for one container, and %s is in it: stop or disconnect that first", s.rec.Name, strings.Join(users, ", ")))
	}
	return nil
}

// pairLan is what the keeper makes for such an endpoint.
func (ep *Endpoint) pairLan() netdevice.Pair {
	p := netdevice.Pair{
		Kind: netdevice.Kind(ep.Lan.Kind), HostIndex: ep.HostIndex, Parent: ep.under, ParentName: ep.Lan.Parent,
		Inside: ep.Inside, MTU: ep.MTU, Addresses: ep.Addresses,
	}
	if !ep.Lan.SharesMAC() {
		p.MAC = ep.MAC
	}
	p.Mode, p.Flags = ep.Lan.Numbers()
	return p
}

// lans says whether any interface of the container is one that the host has no end of.
func (sb *Sandbox) lans() bool {
	return slices.ContainsFunc(sb.Endpoints, func(ep *Endpoint) bool { return ep.Lan != nil })
}

// Entered tells which process is in a container's network namespace. Interfaces
// that the host has no end of are found by that.
func (n *Networks) Entered(container string, pid int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	sb := n.sandboxes[container]
	if sb == nil || !sb.lans() || n.namespaces[container] != nil {
		return nil
	}
	ns, err := netns.Open(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return nil // Leave is next
	}
	if err != nil {
		return fmt.Errorf("open network namespace of container %s: %w", sb.Name, err)
	}
	n.namespaces[container] = ns
	return nil
}

// namespace opens the network namespace of a running container again; nil if it is not known.
func (n *Networks) namespace(container string) (*os.File, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	ns := n.namespaces[container]
	if ns == nil {
		return nil, nil //nolint:nilnil // the container has ended
	}
	return os.Open("/proc/self/fd/" + strconv.Itoa(int(ns.Fd()))) //nolint:gosec // a file's number is small
}

// unplug takes an interface out of a running container.
func (n *Networks) unplug(h *host, container string, pid int, ep *Endpoint) error {
	if ep.Lan == nil {
		// By the host's end: what the container calls its own is the container's to change.
		return h.links.RemoveLink(ep.Host)
	}
	ns, err := n.namespace(container)
	if err == nil && ns == nil {
		ns, err = netns.Open(pid)
	}
	if err != nil {
		return err
	}
	defer ns.Close()
	return h.links.RemoveInside(ns, netdevice.InsideIndex(ep.HostIndex))
}

// rejoin gives a container its interface again that went with the network's parent.
func (n *Networks) rejoin(h *host, container string, ep *Endpoint) error {
	ns, err := n.namespace(container)
	if err != nil || ns == nil {
		return err
	}
	defer ns.Close()
	devices, err := h.links.Inside(ns)
	if err != nil {
		return err
	}
	if _, there := devices[netdevice.InsideIndex(ep.HostIndex)]; there {
		return nil
	}
	return h.links.PlugInto(ns, ep.veth())
}

// depart removes the interfaces of a container that has ended. The kernel
// does that by itself, but some time after the container's end: until then another
// device of the parent could not have the same addresses.
func (n *Networks) depart(sb *Sandbox, ns *os.File) error {
	if ns != nil {
		defer ns.Close()
	}
	if !sb.lans() {
		return nil
	}
	h, err := n.open()
	if err != nil {
		return err
	}
	var errs []error
	for _, ep := range sb.Endpoints {
		switch {
		case ep.Lan == nil:
		case ns != nil:
			errs = append(errs, h.links.RemoveInside(ns, netdevice.InsideIndex(ep.HostIndex)))
		default: // it ended before its namespace was known
			v := ep.veth()
			v.Gateways = nil
			if err := h.links.Try(v); err != nil && !errdefs.IsNotFound(err) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// countLan adds the counters of a container's interfaces that the host has no end of.
func (n *Networks) countLan(h *host, sb *Sandbox, all map[string]bridge.Counters) error {
	ns, err := n.namespace(sb.Container)
	if err != nil || ns == nil {
		return err
	}
	defer ns.Close()
	devices, err := h.links.Inside(ns)
	if err != nil {
		return err
	}
	for _, ep := range sb.Endpoints {
		if c, ok := devices[netdevice.InsideIndex(ep.HostIndex)]; ok && ep.Lan != nil {
			all[ep.Inside] = c.Swapped()
		}
	}
	return nil
}

// Unpublished says which of networks have no published ports, if all are such.
func (n *Networks) Unpublished(wants []Want) (names []string) {
	for _, w := range wants {
		s, err := n.find(w.Ref)
		if err != nil || s.lan == nil {
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
