package explain

import (
	"strings"
)

// published says who reaches a published port.
func (f *Facts) published(p *Port) Target {
	t := Target{What: "published port " + p.text(), Port: p}
	v6, all := p.Host.Addr().Is6(), p.Host.Addr().IsUnspecified()
	family := "IPv4"
	if v6 {
		family = "IPv6"
	}
	by := "by the host's address " + p.Host.Addr().String()
	if all {
		by = "by each " + family + " address of the host"
	}
	if v6 && p.Host.Addr().IsLoopback() {
		t.Paths = []Path{f.relayed(p), {Answer: No, What: "other hosts and containers", Why: "they have no way to this host's ::1"}}
		return t
	}
	if why := p.broken(family); why != "" {
		t.Paths = []Path{{Answer: No, What: "everybody, " + by, Why: why}}
		return t
	}
	rule := map[[2]bool]string{{false, false}: rulePortsAt4, {false, true}: rulePorts4, {true, false}: rulePortsAt6, {true, true}: rulePorts6}[[2]bool{v6, all}]
	local := func(what string) Path { return f.judged(Path{Answer: Yes, What: what, Rule: rule}, localHooks(), v6) }
	if p.Host.Addr().IsLoopback() {
		t.Paths = []Path{
			local("this host, " + by + "; the container sees its gateway as the client"),
			{Answer: No, What: "other hosts and containers", Rule: ruleWire},
		}
		return t
	}
	t.Paths = append(t.Paths, f.judged(Path{Answer: Yes, What: "other hosts, " + by, Rule: rule}, routedHooks(), v6))
	t.Paths = append(t.Paths, local("this host, "+by))
	if all && !v6 {
		t.Paths = append(t.Paths, local("this host, by 127.0.0.1; the container sees its gateway as the client"))
	}
	if all && (v6 || len(p.Relays) > 0) {
		t.Paths = append(t.Paths, f.relayed(p))
	}
	containers := Path{Answer: Yes, What: "containers of every network that is not internal, " + by, Rule: rule}
	if route := f.route(); route != nil && f.apart(*route) {
		containers.What = "containers of every other network that is not internal, " + by
		t.Paths = append(t.Paths, Path{Answer: No, What: "containers of network " + route.Name + ", " + by, Why: whyApart})
	}
	t.Paths = append(t.Paths,
		f.judged(containers, routedHooks(), v6),
		Path{Answer: No, What: "containers of internal networks only, " + by, Rule: ruleFromInner},
	)
	return t
}

// relayed says whether this host reaches a port by ::1.
func (f *Facts) relayed(p *Port) Path {
	if len(p.Relays) == 0 {
		return Path{Answer: No, What: "this host, by ::1", Rule: ruleLoopback6, Why: "Linux routes no answers back to ::1"}
	}
	var to []string
	for _, a := range p.Relays {
		to = append(to, a.String())
	}
	path := Path{Answer: Yes, What: "this host, by ::1; the container sees its gateway as the client", Rule: ruleLoopback6}
	path.Why = "Linux routes no answers back to ::1: berthd listens there, and relays to " + strings.Join(to, ", or if nobody answers there ")
	return f.judge(path, localHooks(), p.Relays[len(p.Relays)-1].Addr().Is4(), true)
}

// broken says why a published port leads nowhere.
func (p *Port) broken(family string) string {
	switch {
	case !p.To.IsValid():
		return "the container has no " + family + " address in the network of its default route"
	case p.Element.Instead != "":
		return "it leads to " + p.Element.Instead
	case !p.Element.Live:
		return "the kernel has no " + p.Element.String()
	}
	return ""
}

// direct says who reaches the container's own address in a network.
func (f *Facts) direct(n Network) Target {
	var addresses []string
	for _, a := range n.Addresses {
		addresses = append(addresses, a.Addr().String())
	}
	t := Target{What: "every port at " + strings.Join(addresses, " and ") + " (network " + n.Name + ")"}
	if n.Lan != "" {
		t.Paths = []Path{
			{Answer: Perhaps, What: "containers and hosts of the LAN of network " + n.Name, Why: whyLan},
			{Answer: No, What: "this host", Why: "Linux carries nothing between a parent's own addresses and its " + n.Lan},
		}
		return t
	}
	neighbours := f.neighbours(n)
	neighbours.What = "containers of network " + n.Name
	t.Paths = append(t.Paths, neighbours)
	t.Paths = append(t.Paths, f.judgedBoth(Path{Answer: Yes, What: "this host", Why: "what the host itself sends meets no rule of berth's"}, localHooks(), n))
	if n.Internal && !n.lacks(setInternal) {
		t.Paths = append(t.Paths, Path{Answer: No, What: "containers of other networks, and other hosts", Rule: ruleToInner})
		return t
	}
	if n.lacks(setBridges) {
		open := Path{Answer: Yes, What: "containers of other networks, and other hosts that have a route here", Why: "the kernel has no bridge " + n.Bridge + " in set " + setBridges + ": no rule keeps them out"}
		t.Paths = append(t.Paths, f.judgedBoth(open, routedHooks(), n))
		return t
	}
	t.Paths = append(t.Paths,
		Path{Answer: No, What: "containers of other networks", Rule: ruleOther},
		Path{Answer: No, What: "other hosts", Rule: ruleClosed},
	)
	return t
}
