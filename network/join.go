package network

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"berth/internal/cleanup"
	"berth/network/bridge"
	"berth/network/ipam"
	"berth/network/portmap"
	"berth/network/sandbox"

	"github.com/moby/moby/api/types/network"
)

// What a running container has.
type (
	// Sandbox is its network namespace.
	Sandbox = sandbox.Sandbox
	// Endpoint is its place in one network.
	Endpoint = sandbox.Endpoint
)

// Request asks for a container's places in networks.
type Request struct {
	Container, Name string // id and name
	Hostname        string
	// Networks are to be joined, the first with the interface eth0.
	Networks []Want
	// Ports are to be published.
	Ports []portmap.Want
	// Servers are name servers instead of the host's.
	Servers []netip.Addr
}

// Want is a network to be joined.
type Want struct {
	Ref      string // name, id or its prefix
	Settings *network.EndpointSettings
}

// Check says whether the request's networks exist and can be joined as it asks,
// as far as that is known before the container runs.
func (n *Networks) Check(wants []Want) error {
	seen := map[string]bool{}
	for _, w := range wants {
		if _, ok := predefined(w.Ref); ok {
			return invalid("network %s excludes all others: join it alone", w.Ref)
		}
		s, err := n.find(w.Ref)
		if err != nil {
			return err
		}
		if seen[s.rec.ID] {
			return invalid("network %s is named twice", s.rec.Name)
		}
		seen[s.rec.ID] = true
		if _, err := s.limitOf(w); err != nil {
			return err
		}
		if c := w.Settings; c != nil && c.IPAMConfig != nil {
			for _, a := range []netip.Addr{c.IPAMConfig.IPv4Address, c.IPAMConfig.IPv6Address} {
				if a.IsValid() && !s.contains(a) {
					return invalid("address %s is in no subnet of network %s (%s)", a, s.rec.Name, s.subnetText())
				}
			}
			if len(c.IPAMConfig.LinkLocalIPs) > 0 {
				return invalid("network %s: link-local addresses are not supported", s.rec.Name)
			}
		}
	}
	return nil
}

func (s *state) contains(a netip.Addr) bool {
	return slices.ContainsFunc(s.rec.IPAM.Config, func(c network.IPAMConfig) bool { return c.Subnet.Contains(a) })
}

func (s *state) subnetText() string {
	var all []string
	for _, c := range s.rec.IPAM.Config {
		all = append(all, c.Subnet.String())
	}
	return strings.Join(all, ", ")
}

// Join prepares the host for a container that is about to start: addresses,
// ports, rules and names. On an error nothing of it is left.
func (n *Networks) Join(r Request) (_ *Sandbox, err error) {
	var undo cleanup.Stack
	defer undo.Run(&err)
	letGo, err := n.hold(r.Networks)
	if err != nil {
		return nil, err
	}
	defer letGo()
	sb := &Sandbox{Container: r.Container, Name: r.Name, Servers: r.Servers}
	for i, w := range r.Networks {
		ep, err := n.enter(r, w, "eth"+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		undo.Add(func() error { return n.release(ep) })
		sb.Endpoints = append(sb.Endpoints, ep)
	}
	sb.ChooseDefault()
	n.ruling.RLock()
	defer n.ruling.RUnlock()
	if err := n.publish(sb, r.Ports, &undo); err != nil {
		return nil, err
	}
	n.admit(sb)
	undo.Release()
	return sb, nil
}

// enter takes a place in a network.
func (n *Networks) enter(r Request, w Want, inside string) (*Endpoint, error) {
	s, err := n.find(w.Ref)
	if err != nil {
		return nil, err
	}
	up, err := n.raiseNetwork(s)
	if err != nil {
		return nil, fmt.Errorf("join network %s: %w", s.rec.Name, err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	ep := &Endpoint{
		ID: hex.EncodeToString(id), Network: s.rec.ID, NetworkName: s.rec.Name, Bridge: s.Iface, Under: up.index,
		Inside: inside, Host: bridge.EndPrefix + hex.EncodeToString(id[:5]), MTU: s.MTU, Isolated: !s.ICC, Hairpin: bridge.PassNetfilter(), Internal: s.rec.Internal,
		Settings: w.Settings,
	}
	if ep.HostIndex, err = up.host.links.NextIndex(); err != nil {
		return nil, err
	}
	if err := s.limit(ep, w, up.host.links); err != nil {
		return nil, err
	}
	if err = s.address(ep); err == nil && s.Lan != nil {
		if err = n.placeLan(s, up, ep); err != nil {
			err = errors.Join(err, n.release(ep))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("join network %s: %w", s.rec.Name, err)
	}
	if err := up.host.links.Reclaim(ep.Addresses); err != nil {
		return nil, errors.Join(err, n.release(ep))
	}
	ep.Names = namesOf(r, w)
	if w.Settings != nil {
		ep.Aliases = w.Settings.Aliases
	}
	return ep, nil
}

// address takes addresses of each of the network's subnets.
func (s *state) address(ep *Endpoint) (err error) {
	var undo cleanup.Stack
	defer undo.Run(&err)
	var want network.EndpointIPAMConfig
	if ep.Settings != nil && ep.Settings.IPAMConfig != nil {
		want = *ep.Settings.IPAMConfig
	}
	for _, pool := range s.pools {
		asked := want.IPv4Address
		if pool.Subnet().Addr().Is6() {
			asked = want.IPv6Address
		}
		a, err := pool.Take(asked)
		if err != nil {
			return err
		}
		undo.Add(func() error { pool.Release(a); return nil })
		ep.Addresses = append(ep.Addresses, netip.PrefixFrom(a, pool.Subnet().Bits()))
		ep.Gateways = append(ep.Gateways, pool.Gateway())
		if pool.Resolver().IsValid() && (s.Lan == nil || s.Lan.Talks()) {
			ep.Resolvers = append(ep.Resolvers, pool.Resolver())
		}
	}
	if s.Lan != nil && s.Lan.Routes() {
		ep.Gateways = unspecified(s.rec)
	}
	ep.MAC = ipam.MAC(ep.Addresses[0].Addr())
	if ep.Settings != nil && len(ep.Settings.MacAddress) > 0 {
		ep.MAC = net.HardwareAddr(ep.Settings.MacAddress)
		if len(ep.MAC) != 6 || ep.MAC[0]&1 != 0 {
			return invalid("MAC address %s is none for an interface: it has 6 bytes, and the first is even", ep.MAC)
		}
	}
	undo.Release()
	return nil
}

// release gives an endpoint's addresses back.
func (n *Networks) release(ep *Endpoint) error {
	for _, s := range n.states() {
		if s.rec.ID != ep.Network {
			continue
		}
		for _, pool := range s.pools {
			for _, a := range ep.Addresses {
				if pool.Subnet().Contains(a.Addr()) {
					pool.Release(a.Addr())
				}
			}
		}
	}
	return nil
}

// admit shows a sandbox to the others. It is not changed from then on.
func (n *Networks) admit(sb *Sandbox) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.admitLocked(sb)
}

// current says whether a sandbox is still what a running container has. It stays so while
// ruling is held for writing.
func (n *Networks) current(container string, sb *Sandbox) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.sandboxes[container] == sb
}

func (n *Networks) admitLocked(sb *Sandbox) {
	if old := n.sandboxes[sb.Container]; old != nil {
		for _, ep := range old.Endpoints {
			n.unname(sb.Container, ep)
		}
	}
	n.sandboxes[sb.Container] = sb
	for _, ep := range sb.Endpoints {
		n.name(sb, ep)
	}
}

// Leave gives back what a container had that has ended.
func (n *Networks) Leave(container string) error {
	sb, err := n.leave(container)
	if sb == nil {
		return nil
	}
	err = errors.Join(err, n.depart(sb))
	for _, ep := range sb.Endpoints {
		err = errors.Join(err, n.release(ep))
	}
	return err
}

// leave hides a container from the others.
func (n *Networks) leave(container string) (sb *Sandbox, err error) {
	n.ruling.RLock()
	defer n.ruling.RUnlock()
	n.mu.Lock()
	sb = n.sandboxes[container]
	delete(n.sandboxes, container)
	if sb != nil {
		for _, ep := range sb.Endpoints {
			n.unname(container, ep)
		}
	}
	n.mu.Unlock()
	if sb == nil {
		return nil, nil //nolint:nilnil // it had none
	}
	err = errors.Join(n.unpublish(sb), n.removeShapers(sb))
	h, e := n.open()
	for _, ep := range sb.Endpoints {
		if e == nil && ep.Lan == nil {
			h.links.Forsake(ep.Host, ep.Addresses)
		}
	}
	return sb, errors.Join(err, e)
}

// Sandbox returns a copy of a running container's sandbox, or nil.
func (n *Networks) Sandbox(container string) *Sandbox {
	_, sb := n.sandbox(container)
	return sb
}

// sandbox returns what a running container has, and a copy that may be changed.
func (n *Networks) sandbox(container string) (old, sb *Sandbox) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if old = n.sandboxes[container]; old != nil {
		sb = old.Clone()
	}
	return old, sb
}
