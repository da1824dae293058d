// Package sandbox is what a running container has of networks: its places in them
// and its published ports, and what follows from that for others.
//
// Level: L2, a subroom of network.
// Owns: the form in which that is stored (network.json).
// May import: network's other subrooms, ociruntime/plan/netdevice, moby/moby/api.
// Must not know: which networks there are; it does nothing on the host.
package sandbox

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"berth/network/bridge"
	"berth/network/firewall"
	"berth/network/portmap"
	"berth/network/relay"
	"berth/ociruntime/plan/netdevice"

	"github.com/moby/moby/api/types/network"
)

// Sandbox is the network namespace of a running container: its places in
// networks and its published ports. It is stored as it is.
type Sandbox struct {
	Container string // id
	Name      string // the container's, without a slash
	Endpoints []*Endpoint
	Ports     []portmap.Port
	// Servers are the name servers that were asked for; none for the host's.
	Servers []netip.Addr `json:",omitempty"`
}

// Endpoint is a container's place in one network.
type Endpoint struct {
	ID          string
	Network     string // id
	NetworkName string
	Bridge      string
	// Inside is the interface's name in the container, Host that of its other end.
	Inside, Host string
	HostIndex    uint32
	// Lan is for an interface that is on no bridge: it has no end on the host.
	Lan      *bridge.Lan `json:",omitempty"`
	MAC      net.HardwareAddr
	MTU      uint32
	Isolated bool `json:",omitempty"`
	Hairpin  bool `json:",omitempty"`
	// Limit is what may pass the interface.
	Limit netdevice.Limit `json:",omitzero"`
	// Addresses have the length of the subnet; Gateways are the network's.
	Addresses []netip.Prefix
	Gateways  []netip.Addr
	// Resolvers are the name server's addresses in this network.
	Resolvers []netip.Addr
	// Default: everything that no other route takes goes here.
	Default  bool     `json:",omitempty"`
	Internal bool     `json:",omitempty"`
	Aliases  []string `json:",omitempty"`
	// Names are found by the other members of the network.
	Names []string
	// Settings are what was asked for.
	Settings *network.EndpointSettings `json:",omitempty"`

	// Under is the number of the host's device that it is made on.
	Under uint32 `json:"-"`
}

// Clone is a copy with endpoints of its own.
func (sb *Sandbox) Clone() *Sandbox {
	out := *sb
	out.Endpoints = nil
	for _, ep := range sb.Endpoints {
		e := *ep
		out.Endpoints = append(out.Endpoints, &e)
	}
	return &out
}

// In is the place in a network, by its id; nil if there is none.
func (sb *Sandbox) In(network string) *Endpoint {
	for _, ep := range sb.Endpoints {
		if ep.Network == network {
			return ep
		}
	}
	return nil
}

// Pairs are the interfaces that the container's keeper makes.
func (sb *Sandbox) Pairs() []netdevice.Pair {
	var pairs []netdevice.Pair
	for _, ep := range sb.Endpoints {
		p := netdevice.Pair{
			Host: ep.Host, HostIndex: ep.HostIndex, Bridge: ep.Under, BridgeName: ep.Bridge, Isolated: ep.Isolated, Hairpin: ep.Hairpin,
			Inside: ep.Inside, MAC: ep.MAC, MTU: ep.MTU, Addresses: ep.Addresses, Limit: ep.Limit,
		}
		if ep.Lan != nil {
			p = ep.pairLan()
		}
		if ep.Default {
			p.Gateways = ep.Gateways
		}
		pairs = append(pairs, p)
	}
	return pairs
}

// Sysctls are the kernel parameters of the interfaces: what else is in a network
// must not give a container addresses or routes, and one without IPv6 has none.
func (sb *Sandbox) Sysctls() map[string]string {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		return nil // no IPv6 in the kernel
	}
	all := map[string]string{}
	for _, ep := range sb.Endpoints {
		conf := "net.ipv6.conf." + strings.ReplaceAll(ep.Inside, ".", "/")
		if ep.Address(true).IsValid() {
			all[conf+".accept_ra"] = "0"
		} else {
			all[conf+".disable_ipv6"] = "1"
		}
	}
	return all
}

// Address is the endpoint's address of a family, not valid if it has none.
func (ep *Endpoint) Address(v6 bool) netip.Prefix {
	for _, a := range ep.Addresses {
		if a.Addr().Is6() == v6 {
			return a
		}
	}
	return netip.Prefix{}
}

// Resolvers are the name servers of the container, in the order to be asked.
func (sb *Sandbox) Resolvers() (all []netip.Addr) {
	for _, ep := range sb.Endpoints {
		all = append(all, ep.Resolvers...)
	}
	return all
}

// Addresses are all addresses of the container.
func (sb *Sandbox) Addresses() (all []netip.Addr) {
	for _, ep := range sb.Endpoints {
		for _, a := range ep.Addresses {
			all = append(all, a.Addr())
		}
	}
	return all
}

// HostGateway is the address by which the container reaches the host, not valid
// without a default route or if that is by a LAN, where the host does not answer.
func (sb *Sandbox) HostGateway() netip.Addr {
	if ep := sb.Gateway(); ep != nil && ep.Lan == nil && len(ep.Gateways) > 0 {
		return ep.Gateways[0]
	}
	return netip.Addr{}
}

// Gateway is the endpoint with the default route, nil if there is none.
func (sb *Sandbox) Gateway() *Endpoint {
	for _, ep := range sb.Endpoints {
		if ep.Default {
			return ep
		}
	}
	return nil
}

// Publishes is the endpoint to which published ports lead: that with the default route, nil
// if there is none, or it is in a LAN, where the container is reached itself.
func (sb *Sandbox) Publishes() *Endpoint {
	if gw := sb.Gateway(); gw != nil && gw.Lan == nil {
		return gw
	}
	return nil
}

// Report shows an endpoint in the words of Docker's API.
func (ep *Endpoint) Report() *network.EndpointSettings {
	out := &network.EndpointSettings{}
	if ep.Settings != nil {
		out = ep.Settings.Copy()
	}
	out.NetworkID, out.EndpointID = ep.Network, ep.ID
	out.MacAddress, out.DNSNames, out.Aliases = network.HardwareAddr(ep.MAC), ep.Names, ep.Aliases
	if a := ep.Address(false); a.IsValid() {
		out.IPAddress, out.IPPrefixLen = a.Addr(), a.Bits()
	}
	if a := ep.Address(true); a.IsValid() {
		out.GlobalIPv6Address, out.GlobalIPv6PrefixLen = a.Addr(), a.Bits()
	}
	for _, gw := range ep.Gateways {
		if gw.IsUnspecified() {
			continue
		}
		if gw.Is4() {
			out.Gateway = gw
		} else {
			out.IPv6Gateway = gw
		}
	}
	return out
}

// PortMap shows the published ports in the words of Docker's API.
func (sb *Sandbox) PortMap() network.PortMap {
	m := network.PortMap{}
	for _, p := range sb.Ports {
		if port, ok := network.PortFrom(p.Inside, p.Protocol); ok {
			m[port] = append(m[port], network.PortBinding{HostIP: p.Host.Addr(), HostPort: strconv.Itoa(int(p.Host.Port()))})
		}
	}
	return m
}

// ChooseDefault gives one endpoint the default route: that of the highest
// priority, then of the network whose name is first; as docker does.
func (sb *Sandbox) ChooseDefault() {
	var best *Endpoint
	for _, ep := range sb.Endpoints {
		ep.Default = false
		if ep.Internal {
			continue
		}
		if best == nil || ep.Priority() > best.Priority() || ep.Priority() == best.Priority() && ep.NetworkName < best.NetworkName {
			best = ep
		}
	}
	if best != nil {
		best.Default = true
	}
}

// Priority is what was asked for: who has the highest gets the default route.
func (ep *Endpoint) Priority() int {
	if ep.Settings == nil {
		return 0
	}
	return ep.Settings.GwPriority
}

// FreeName is a name that no interface of the container has.
func (sb *Sandbox) FreeName() string {
	for i := 0; ; i++ {
		name := "eth" + strconv.Itoa(i)
		if !slices.ContainsFunc(sb.Endpoints, func(ep *Endpoint) bool { return ep.Inside == name }) {
			return name
		}
	}
}

// Veth is the interface for a container that runs already.
func (ep *Endpoint) Veth() bridge.Veth {
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

// pairLan is what the keeper makes for such an endpoint.
func (ep *Endpoint) pairLan() netdevice.Pair {
	p := netdevice.Pair{
		Kind: netdevice.Kind(ep.Lan.Kind), HostIndex: ep.HostIndex, Parent: ep.Under, ParentName: ep.Lan.Parent,
		Inside: ep.Inside, MTU: ep.MTU, Addresses: ep.Addresses,
	}
	if !ep.Lan.SharesMAC() {
		p.MAC = ep.MAC
	}
	p.Mode, p.Flags = ep.Lan.Numbers()
	return p
}

// Lans are the interfaces of the container that the host has no end of.
func (sb *Sandbox) Lans() (all []bridge.Veth) {
	for _, ep := range sb.Endpoints {
		if ep.Lan != nil {
			all = append(all, ep.Veth())
		}
	}
	return all
}

// Families are the unspecified addresses of the families in which an endpoint has an address.
func (ep *Endpoint) Families() (all []netip.Addr) {
	for _, a := range ep.Addresses {
		if a.Addr().Is4() {
			all = append(all, netip.IPv4Unspecified())
		} else {
			all = append(all, netip.IPv6Unspecified())
		}
	}
	return all
}

// Rules are the published ports as the firewall has them.
func (sb *Sandbox) Rules() []firewall.Port {
	gw := sb.Gateway()
	if gw == nil {
		return nil
	}
	var rules []firewall.Port
	for _, p := range sb.Ports {
		if to := gw.Address(p.Host.Addr().Is6()); to.IsValid() {
			rules = append(rules, firewall.Port{Protocol: string(p.Protocol), Host: p.At(), To: netip.AddrPortFrom(to.Addr(), p.Inside)})
		}
	}
	return rules
}

// Relays are the ports of the host's [::1], and where they lead: to the container's IPv6
// address, and if nobody listens there or it has none, to the other one. A nil sandbox has none.
func (sb *Sandbox) Relays() relay.Ways {
	if sb == nil || sb.Publishes() == nil {
		return nil
	}
	all := relay.Ways{}
	for _, p := range sb.Ports {
		for _, v6 := range []bool{true, false} {
			if to := sb.Gateway().Address(v6); to.IsValid() && p.Relayed() {
				k := relay.Key{Protocol: string(p.Protocol), Host: p.Host}
				all[k] = append(all[k], netip.AddrPortFrom(to.Addr(), p.Inside))
			}
		}
	}
	return all
}

// Same says whether two are the same place.
func (ep *Endpoint) Same(other *Endpoint) bool { return ep.ID == other.ID }
