package network

import (
	"net"
	"net/netip"
	"os"
	"strings"

	"berth/network/bridge"
	"berth/network/portmap"
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

	under uint32 // the number of the host's device that it is made on
}

// clone is a copy with endpoints of its own.
func (sb *Sandbox) clone() *Sandbox {
	out := *sb
	out.Endpoints = nil
	for _, ep := range sb.Endpoints {
		e := *ep
		out.Endpoints = append(out.Endpoints, &e)
	}
	return &out
}

func (sb *Sandbox) endpoint(network string) *Endpoint {
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
			Host: ep.Host, HostIndex: ep.HostIndex, Bridge: ep.under, BridgeName: ep.Bridge, Isolated: ep.Isolated, Hairpin: ep.Hairpin,
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
		if ep.address(true).IsValid() {
			all[conf+".accept_ra"] = "0"
		} else {
			all[conf+".disable_ipv6"] = "1"
		}
	}
	return all
}

// address is the endpoint's address of a family, not valid if it has none.
func (ep *Endpoint) address(v6 bool) netip.Prefix {
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
	if ep := sb.gateway(); ep != nil && ep.Lan == nil && len(ep.Gateways) > 0 {
		return ep.Gateways[0]
	}
	return netip.Addr{}
}

// gateway is the endpoint with the default route, nil if there is none.
func (sb *Sandbox) gateway() *Endpoint {
	for _, ep := range sb.Endpoints {
		if ep.Default {
			return ep
		}
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
	if a := ep.address(false); a.IsValid() {
		out.IPAddress, out.IPPrefixLen = a.Addr(), a.Bits()
	}
	if a := ep.address(true); a.IsValid() {
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
			m[port] = append(m[port], network.PortBinding{HostIP: p.Host.Addr(), HostPort: portText(p.Host.Port())})
		}
	}
	return m
}

// Counters are what has passed a running container's interfaces, by their name
// inside, as the host's ends count it.
func (n *Networks) Counters(container string) (map[string]bridge.Counters, error) {
	sb := n.Sandbox(container)
	if sb == nil || len(sb.Endpoints) == 0 {
		return nil, nil
	}
	h, err := n.open()
	if err != nil {
		return nil, err
	}
	var ends []string
	for _, ep := range sb.Endpoints {
		if ep.Lan == nil {
			ends = append(ends, ep.Host)
		}
	}
	counted, err := h.links.Counters(ends)
	if err != nil {
		return nil, err
	}
	all := map[string]bridge.Counters{}
	for _, ep := range sb.Endpoints {
		if c, ok := counted[ep.Host]; ok {
			all[ep.Inside] = c
		}
	}
	if len(ends) < len(sb.Endpoints) {
		err = n.namespaces.Count(h.links, container, all, sb.lans())
	}
	return all, err
}
