package network

import (
	"net/netip"
	"slices"
	"strings"
)

// dnsPort is where name servers listen (RFC 1035).
const dnsPort = 53

// namesOf are the names by which the other members of a network find a container.
func namesOf(r Request, w Want) []string {
	all := []string{r.Name, r.Container[:12]}
	if w.Settings != nil {
		all = append(all, w.Settings.Aliases...)
	}
	all = append(all, r.Hostname)
	var names []string
	for _, name := range all {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// name makes an endpoint be found. Call it with mu held.
func (n *Networks) name(sb *Sandbox, ep *Endpoint) {
	for _, a := range ep.Addresses {
		n.byAddr[a.Addr()] = sb.Container
	}
	s := n.byName[ep.NetworkName]
	if s == nil || s.rec.ID != ep.Network {
		return
	}
	for _, name := range ep.Names {
		name = strings.ToLower(name)
		if !slices.ContainsFunc(s.names[name], ep.Same) {
			s.names[name] = append(s.names[name], ep)
		}
	}
}

// unname undoes it. Call it with mu held.
func (n *Networks) unname(container string, ep *Endpoint) {
	for _, a := range ep.Addresses {
		if n.byAddr[a.Addr()] == container {
			delete(n.byAddr, a.Addr())
		}
	}
	s := n.byName[ep.NetworkName]
	if s == nil || s.rec.ID != ep.Network {
		return
	}
	for _, name := range ep.Names {
		name = strings.ToLower(name)
		s.names[name] = slices.DeleteFunc(s.names[name], ep.Same)
		if len(s.names[name]) == 0 {
			delete(s.names, name)
		}
	}
}

// asker is the sandbox that has an address.
func (n *Networks) asker(from netip.Addr) *Sandbox { return n.sandboxes[n.byAddr[from]] }

// Lookup finds the addresses of a name for the container with address from, in
// its networks; NAME.NETWORK is found as well.
func (n *Networks) Lookup(from netip.Addr, name string) (addrs []netip.Addr, known bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	sb := n.asker(from)
	if sb == nil {
		return nil, false
	}
	for _, in := range sb.Endpoints {
		s := n.byName[in.NetworkName]
		if s == nil || s.rec.ID != in.Network {
			continue
		}
		found := s.names[name]
		if short, ok := strings.CutSuffix(name, "."+strings.ToLower(s.rec.Name)); ok && len(found) == 0 {
			found = s.names[short]
		}
		for _, ep := range found {
			known = true
			for _, a := range ep.Addresses {
				addrs = append(addrs, a.Addr())
			}
		}
	}
	return addrs, known
}

// Reverse finds the name of an address in the networks of the container with
// address from.
func (n *Networks) Reverse(from, addr netip.Addr) (name string, known bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	sb, other := n.asker(from), n.asker(addr)
	if sb == nil || other == nil {
		return "", false
	}
	for _, ep := range other.Endpoints {
		has := slices.ContainsFunc(ep.Addresses, func(p netip.Prefix) bool { return p.Addr() == addr })
		if has && sb.In(ep.Network) != nil && len(ep.Names) > 0 {
			return ep.Names[0] + "." + ep.NetworkName, true
		}
	}
	return "", false
}

// Upstreams are the name servers for the world that the container with address
// from has asked for; a container of internal networks only has no way there.
func (n *Networks) Upstreams(from netip.Addr) (servers []netip.AddrPort, external bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	sb := n.asker(from)
	if sb == nil {
		return nil, false
	}
	for _, s := range sb.Servers {
		servers = append(servers, netip.AddrPortFrom(s, dnsPort))
	}
	return servers, sb.Gateway() != nil
}
