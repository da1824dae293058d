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
	"berth/network/firewall"
	"berth/network/ipam"
	"berth/network/portmap"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
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
	sb.chooseDefault()
	n.ruling.RLock()
	defer n.ruling.RUnlock()
	if err := n.publish(sb, r.Ports, &undo); err != nil {
		return nil, err
	}
	n.admit(sb)
	undo.Release()
	return sb, nil
}

// chooseDefault gives one endpoint the default route: that of the highest
// priority, then of the network whose name is first; as docker does.
func (sb *Sandbox) chooseDefault() {
	var best *Endpoint
	for _, ep := range sb.Endpoints {
		ep.Default = false
		if ep.Internal {
			continue
		}
		if best == nil || ep.priority() > best.priority() || ep.priority() == best.priority() && ep.NetworkName < best.NetworkName {
			best = ep
		}
	}
	if best != nil {
		best.Default = true
	}
}

func (ep *Endpoint) priority() int {
	if ep.Settings == nil {
		return 0
	}
	return ep.Settings.GwPriority
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
		ID: hex.EncodeToString(id), Network: s.rec.ID, NetworkName: s.rec.Name, Bridge: s.Iface, under: up.index,
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

// publish holds the host's ports and leads them to the container.
func (n *Networks) publish(sb *Sandbox, wants []portmap.Want, undo *cleanup.Stack) error {
	if len(wants) == 0 {
		return nil
	}
	gw := sb.gateway()
	if gw != nil && gw.Lan != nil || gw == nil && len(sb.lans()) > 0 {
		n.Log.Warn("published ports are discarded: the container's way out is a LAN, where it is reached itself", "container", sb.Name)
		return nil
	}
	if gw == nil {
		return errdefs.ErrFailedPrecondition.WithMessage("ports cannot be published: all networks of the container are internal")
	}
	s, err := n.find(gw.Network)
	if err != nil {
		return err
	}
	var families []netip.Addr
	for _, a := range gw.Addresses {
		if a.Addr().Is4() {
			families = append(families, netip.IPv4Unspecified())
		} else {
			families = append(families, netip.IPv6Unspecified())
		}
	}
	wants = slices.Clone(wants)
	for i := range wants {
		if !wants[i].HostIP.IsValid() {
			wants[i].HostIP = s.Bind
		}
	}
	if sb.Ports, err = n.ports.Reserve(sb.Name, wants, families); err != nil {
		return err
	}
	undo.Add(func() error { n.ports.Release(sb.Ports); return nil })
	h, err := n.ready()
	if err != nil {
		return err
	}
	rules := sb.rules()
	if err := h.table.AddPorts(rules); err != nil {
		return err
	}
	undo.Add(func() error { return h.table.RemovePorts(rules) })
	return h.forgetFlows(rules)
}

// rules are the published ports as the firewall has them.
func (sb *Sandbox) rules() []firewall.Port {
	gw := sb.gateway()
	if gw == nil || gw.Lan != nil {
		return nil
	}
	var rules []firewall.Port
	for _, p := range sb.Ports {
		if to := gw.address(p.Host.Addr().Is6()); to.IsValid() {
			rules = append(rules, firewall.Port{Protocol: string(p.Protocol), Host: p.At(), To: netip.AddrPortFrom(to.Addr(), p.Inside)})
		}
	}
	return rules
}

// admit shows a sandbox to the others. It is not changed from then on.
func (n *Networks) admit(sb *Sandbox) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.admitLocked(sb)
}

// replace shows a sandbox in place of the one that it was made from; false if
// the container has ended meanwhile, and everything of it was given back.
func (n *Networks) replace(old, sb *Sandbox) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sandboxes[sb.Container] != old {
		return false
	}
	n.admitLocked(sb)
	return true
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
	return sb, errors.Join(n.unpublish(sb), n.removeShapers(sb))
}

// unpublish ends the publishing of all ports of a container.
func (n *Networks) unpublish(sb *Sandbox) error {
	defer n.ports.Release(sb.Ports)
	rules := sb.rules()
	if len(rules) == 0 {
		return nil
	}
	h, err := n.ready()
	if err != nil {
		return err
	}
	return errors.Join(h.table.RemovePorts(rules), h.forgetFlows(rules))
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
		sb = old.clone()
	}
	return old, sb
}

func portText(p uint16) string { return strconv.Itoa(int(p)) }
