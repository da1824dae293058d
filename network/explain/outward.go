package explain

import (
	"net/netip"
	"strings"
)

// neighbours says whether containers of the same network reach each other.
func (f *Facts) neighbours(n Network) Path {
	p := Path{Answer: Yes, What: "every port of containers of network " + n.Name + n.others()}
	if n.Lan != "" {
		p.Answer, p.Why = Perhaps, whyLan
		return p
	}
	if n.Isolated {
		p.Answer, p.Why = No, "the network has com.docker.network.bridge.enable_icc=false: their ports of the bridge are isolated, and this rule keeps out the way by the host"
		p.Rule = ruleOther
		if n.Internal {
			p.Rule = ruleFromInner
		}
		return p
	}
	p.Why = "the bridge leads there"
	if f.Filtered {
		p.Rule = ruleWithin
		if n.lacks("within") {
			p.Answer, p.Why, p.Rule = No, "the kernel has no bridge "+n.Bridge+" in set within, and br_netfilter shows the rules what stays in a bridge", ruleOther
			return p
		}
	}
	return f.judgedBoth(p, f.bridgedHooks(), n)
}

// whyLan is the reason for what is not known of a macvlan or ipvlan network.
const whyLan = "packets go by the parent and meet no rule of this host: the network's mode and the LAN decide"

// whyApart is the reason why published ports do not lead back into an isolated network.
const whyApart = "br_netfilter bridges what leads back into the bridge that it came from, and the network's ports of the bridge are isolated"

// apart says whether the members of a network do not reach even published ports of each other.
func (f *Facts) apart(n Network) bool { return n.Isolated && f.Filtered }

func (n *Network) others() string {
	const shown = 10
	var all []string
	for _, m := range n.Members {
		if len(all) == shown {
			all = append(all, "...")
			break
		}
		text := m.Name
		for _, a := range m.Addresses {
			text += " " + a.String()
		}
		all = append(all, text)
	}
	if len(all) == 0 {
		return ": there is no other now"
	}
	return ": " + strings.Join(all, ", ")
}

// otherNetworks says what the container reaches of networks that it is not in.
func (f *Facts) otherNetworks() []Path {
	route := f.route()
	if route == nil {
		why := Path{Answer: No, What: "containers of other networks, also their published ports", Why: "the container has no default route: its networks are internal"}
		if len(f.Networks) == 0 {
			why.Why = "the container is in no network"
		} else {
			why.Rule = ruleFromInner
		}
		return []Path{why}
	}
	if route.Lan != "" {
		return []Path{{Answer: Perhaps, What: "containers of other networks", Why: whyLan}}
	}
	published := Path{Answer: Yes, What: "published ports of other containers, by the host's addresses", Rule: ruleDnatted}
	if f.apart(*route) {
		published.What = "published ports of containers of other networks, by the host's addresses"
	}
	all := []Path{
		f.judgedBoth(published, routedHooks(), *route),
		{Answer: No, What: "other ports of containers of other networks", Rule: ruleOther},
	}
	if f.apart(*route) {
		all = append(all, Path{Answer: No, What: "published ports of containers of network " + route.Name, Why: whyApart})
	}
	return all
}

// host says how the container reaches the host's own processes.
func (f *Facts) host() Path {
	if len(f.Networks) == 0 {
		return Path{Answer: No, What: "this host", Why: "the container is in no network"}
	}
	var gateways []string
	var n *Network // by which it is reached
	for i, in := range f.Networks {
		if in.Lan != "" {
			continue
		}
		if n == nil || in.Default {
			n = &f.Networks[i]
		}
		for _, g := range in.Gateways {
			gateways = append(gateways, g.String())
		}
	}
	if n == nil {
		return Path{Answer: No, What: "this host", Why: "Linux carries nothing between a parent's own addresses and its " + f.Networks[0].Lan}
	}
	at := strings.Join(gateways, ", ")
	p := Path{Answer: Yes, What: "this host's own ports, at " + at, Why: "what is for the host itself meets no rule of berth's"}
	if n.Default {
		p.What += " and its other addresses"
	}
	return f.judgedBoth(p, hostHooks(), *n)
}

// world says how the container reaches other hosts.
func (f *Facts) world() []Path {
	n := f.route()
	if n == nil {
		return []Path{{Answer: No, What: "other hosts", Why: "the container has no default route"}}
	}
	if n.Lan != "" {
		return []Path{{Answer: Perhaps, What: "other hosts, with its own address, by the gateway of network " + n.Name, Why: whyLan}}
	}
	var all []Path
	for _, v := range []struct {
		name, rule, set string
		v6              bool
	}{{"IPv4", ruleMasquer4, setMasquerade4, false}, {"IPv6", ruleMasquer6, setMasquerade6, true}} {
		what := "other hosts, by " + v.name
		address := n.address(v.v6)
		if !address.IsValid() {
			all = append(all, Path{Answer: No, What: what, Why: "the container has no " + v.name + " address in network " + n.Name + ", where its default route goes"})
			continue
		}
		p := Path{Answer: Yes, What: what + ", with the address of the interface by which it leaves the host", Rule: v.rule}
		switch {
		case !n.Masquerade:
			p.What, p.Rule = what+", with its own address "+address.String(), ""
			p.Why = "the network has com.docker.network.bridge.enable_ip_masquerade=false: the others need a route back"
		case n.lacks(v.set):
			p.What, p.Rule = what+", with its own address "+address.String(), ""
			p.Why = "the kernel does not have its subnet in set " + v.set
		}
		all = append(all, f.judged(p, routedHooks(), v.v6))
	}
	return all
}

func (n *Network) address(v6 bool) netip.Addr {
	for _, a := range n.Addresses {
		if a.Addr().Is6() == v6 {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// names says which names the container has and finds.
func (f *Facts) names() []string {
	all := []string{}
	for _, n := range f.Networks {
		all = append(all, "in network "+n.Name+" it is found as "+strings.Join(n.Names, ", "))
		var found []string
		for _, m := range n.Members {
			found = append(found, m.Name)
		}
		if len(found) == 0 {
			found = []string{"nobody else now"}
		}
		all = append(all, "in network "+n.Name+" it finds, at the name server "+join(n.Resolvers)+": "+strings.Join(found, ", "))
	}
	switch {
	case len(f.Networks) == 0:
		return append(all, "it has no name server of berth's")
	case f.route() == nil:
		return append(all, "no other names are answered: it has no way to them")
	case len(f.Servers) > 0:
		return append(all, "other names are asked of "+join(f.Servers))
	}
	return append(all, "other names are asked of the host's name servers")
}

func join(all []netip.Addr) string {
	var text []string
	for _, a := range all {
		text = append(text, a.String())
	}
	return strings.Join(text, ", ")
}
