package networks

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"berth/network"
	"berth/network/bridge"
	"berth/network/explain"
	"berth/network/firewall"
	"berth/network/rate"
	"berth/network/relay"

	"github.com/containerd/errdefs"
)

// facts are what is recorded of a running container and what the kernel's table has of it. Call it
// with the container's verb lock held: its networks stay as they are.
func (v *Verbs) facts(container string) (f explain.Facts, err error) {
	sb := v.c.Networks.Sandbox(container)
	if sb == nil {
		return f, errdefs.ErrConflict.WithMessage("container does not run, or has never been in a network: there is nothing to explain; berth network connect puts it into one")
	}
	table, rules, err := v.c.Networks.Firewall()
	if err != nil {
		return f, err
	}
	f = explain.Facts{Container: sb.Name, ID: sb.Container, Servers: sb.Servers, Table: table.Name(), Filtered: bridge.PassNetfilter()}
	for _, ep := range sb.Endpoints {
		in := v.endpointFacts(sb, ep)
		for _, n := range rules.Networks {
			if n.Bridge != ep.Bridge || ep.Lan != nil {
				continue
			}
			in.Masquerade = n.Masquerade && !n.Internal
			if in.Elements, err = table.LookNetwork(n); err != nil {
				return f, err
			}
		}
		f.Networks = append(f.Networks, in)
	}
	if f.Ports, err = portFacts(table, sb); err != nil {
		return f, err
	}
	if f.Intact, err = table.Intact(); err != nil {
		return f, err
	}
	if f.Foreign, err = table.Foreign(); err != nil {
		return f, fmt.Errorf("look at the host's own firewall: %w", err)
	}
	return f, nil
}

func (v *Verbs) endpointFacts(sb *network.Sandbox, ep *network.Endpoint) explain.Network {
	out := explain.Network{
		Name: ep.NetworkName, Bridge: ep.Bridge, Interface: ep.Inside, Addresses: ep.Addresses,
		Resolvers: ep.Resolvers, Default: ep.Default, Internal: ep.Internal, Isolated: ep.Isolated, Names: ep.Names,
	}
	if ep.Lan != nil {
		out.Lan = ep.Lan.Kind + " on " + ep.Lan.Parent
	}
	for _, g := range ep.Gateways {
		if !g.IsUnspecified() { // a LAN may have none
			out.Gateways = append(out.Gateways, g)
		}
	}
	if ep.Limit.In > 0 {
		out.In = rate.Text(ep.Limit.In)
	}
	if ep.Limit.Out > 0 {
		out.Out = rate.Text(ep.Limit.Out)
	}
	in, err := v.c.Networks.Get(ep.Network)
	if err != nil {
		return out // it is about to be removed: nobody else is in it
	}
	for id, r := range in.Containers {
		m := explain.Member{Name: r.Name}
		for _, a := range []netip.Prefix{r.IPv4Address, r.IPv6Address} {
			if a.IsValid() {
				m.Addresses = append(m.Addresses, a.Addr())
			}
		}
		if id != sb.Container {
			out.Members = append(out.Members, m)
		}
	}
	slices.SortFunc(out.Members, func(a, b explain.Member) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// portFacts are a container's published ports with their elements.
func portFacts(table *firewall.Table, sb *network.Sandbox) (ports []explain.Port, err error) {
	var live []int // which of them have a rule
	var rules []firewall.Port
	relays := sb.Relays()
	for _, p := range sb.Ports {
		out := explain.Port{Protocol: string(p.Protocol), Host: p.Host}
		out.Relays = relays[relay.Key{Protocol: out.Protocol, Host: p.Host}]
		for _, ep := range sb.Endpoints {
			for _, a := range ep.Addresses {
				if ep.Default && ep.Lan == nil && !out.To.IsValid() && a.Addr().Is6() == p.Host.Addr().Is6() {
					out.To = netip.AddrPortFrom(a.Addr(), p.Inside)
					live = append(live, len(ports))
					rules = append(rules, firewall.Port{Protocol: out.Protocol, Host: p.At(), To: out.To})
				}
			}
		}
		ports = append(ports, out)
	}
	elements, err := table.LookPorts(rules)
	if err != nil {
		return nil, err
	}
	for i, e := range elements {
		ports[live[i]].Element = e
	}
	return ports, nil
}
