package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"berth/network/explain"
	"berth/network/firewall"
	"berth/network/rate"

	"github.com/containerd/errdefs"
)

// Explain says who reaches a running container and what it reaches. Class Conflict if it
// does not run, or has no networks of its own.
func (n *Networks) Explain(container string) (*explain.Report, error) {
	h, err := n.ready()
	if err != nil {
		return nil, err
	}
	n.ruling.RLock() // rules and records agree meanwhile
	defer n.ruling.RUnlock()
	sb := n.Sandbox(container)
	if sb == nil {
		return nil, errdefs.ErrConflict.WithMessage("container does not run, or has never been in a network: there is nothing to explain; berth network connect puts it into one")
	}
	f := explain.Facts{Container: sb.Name, ID: sb.Container, Servers: sb.Servers, Table: n.tableName(), Filtered: bridgesPassNetfilter()}
	for _, ep := range sb.Endpoints {
		in, rules := n.explainEndpoint(sb, ep)
		if ep.Lan != nil {
			in.Lan = ep.Lan.Kind + " on " + ep.Lan.Parent
		} else if in.Elements, err = h.table.LookNetwork(rules); err != nil {
			return nil, err
		}
		f.Networks = append(f.Networks, in)
	}
	if f.Ports, err = explainPorts(h.table, sb); err != nil {
		return nil, err
	}
	if f.Intact, err = h.table.Intact(); err != nil {
		return nil, err
	}
	if f.Foreign, err = h.table.Foreign(); err != nil {
		return nil, fmt.Errorf("look at the host's own firewall: %w", err)
	}
	return explain.Explain(f), nil
}

// explainEndpoint is what is recorded of a place in a network, and what the rules have of it.
func (n *Networks) explainEndpoint(sb *Sandbox, ep *Endpoint) (explain.Network, firewall.Network) {
	out := explain.Network{
		Name: ep.NetworkName, Bridge: ep.Bridge, Interface: ep.Inside, Addresses: ep.Addresses,
		Resolvers: ep.Resolvers, Default: ep.Default, Internal: ep.Internal, Isolated: ep.Isolated, Names: ep.Names,
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
	rules := firewall.Network{Bridge: ep.Bridge}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if s := n.byName[ep.NetworkName]; s != nil && s.rec.ID == ep.Network {
		rules = s.rules()
		out.Masquerade = s.Masq && !s.rec.Internal
	}
	for _, other := range n.sandboxes {
		if in := other.endpoint(ep.Network); in != nil && other.Container != sb.Container {
			m := explain.Member{Name: other.Name}
			for _, a := range in.Addresses {
				m.Addresses = append(m.Addresses, a.Addr())
			}
			out.Members = append(out.Members, m)
		}
	}
	slices.SortFunc(out.Members, func(a, b explain.Member) int { return cmp.Compare(a.Name, b.Name) })
	return out, rules
}

// explainPorts are a container's published ports with their elements.
func explainPorts(table *firewall.Table, sb *Sandbox) (ports []explain.Port, err error) {
	var live []int // which of them have a rule
	var rules []firewall.Port
	for _, p := range sb.Ports {
		out := explain.Port{Protocol: string(p.Protocol), Host: p.Host}
		if gw := sb.gateway(); gw != nil && gw.Lan == nil {
			if to := gw.address(p.Host.Addr().Is6()); to.IsValid() {
				out.To = netip.AddrPortFrom(to.Addr(), p.Inside)
				live = append(live, len(ports))
				rules = append(rules, firewall.Port{Protocol: out.Protocol, Host: out.Host, To: out.To})
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
