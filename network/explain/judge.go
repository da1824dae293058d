package explain

import (
	"slices"

	"berth/network/firewall"
)

// hooks are what a packet and its answer pass: those of the protocols, and those of
// a bridge (nftables's family bridge), which has the same names.
type hooks struct{ inet, bridge []string }

// routedHooks are those between other hosts, or other bridges, and a container.
func routedHooks() hooks {
	return hooks{[]string{"prerouting", "forward", "postrouting"}, []string{"prerouting", "input", "output", "postrouting"}}
}

// localHooks are those from the host to a container.
func localHooks() hooks {
	all := []string{"prerouting", "input", "output", "postrouting"}
	return hooks{all, all}
}

// hostHooks are those from a container to the host.
func hostHooks() hooks { return localHooks() }

// bridgedHooks are those within a bridge; with br_netfilter the protocols' are among them.
func (f *Facts) bridgedHooks() hooks {
	all := []string{"prerouting", "forward", "postrouting"}
	if f.Filtered {
		return hooks{all, all}
	}
	return hooks{nil, all}
}

func (h hooks) meet(c firewall.Chain, v4, v6 bool) bool {
	switch c.Family {
	case "bridge":
		return slices.Contains(h.bridge, c.Hook)
	case "ip":
		return v4 && slices.Contains(h.inet, c.Hook)
	case "ip6":
		return v6 && slices.Contains(h.inet, c.Hook)
	}
	return slices.Contains(h.inet, c.Hook)
}

// judged makes perhaps of yes where the host's own rules may drop.
func (f *Facts) judged(p Path, h hooks, v6 bool) Path { return f.judge(p, h, !v6, v6) }

// judgedBoth is judged for the families that the container has in a network.
func (f *Facts) judgedBoth(p Path, h hooks, n Network) Path {
	return f.judge(p, h, n.has(false), n.has(true))
}

func (f *Facts) judge(p Path, h hooks, v4, v6 bool) Path {
	for _, c := range f.Foreign {
		if p.Answer != No && h.meet(c, v4, v6) {
			p.Unless = append(p.Unless, c)
		}
	}
	if len(p.Unless) > 0 {
		p.Answer = Perhaps
	}
	return p
}
