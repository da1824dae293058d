package firewall

import (
	"bytes"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// chain is a chain of the table; one without a hook is jumped to.
type chain struct {
	name     string
	hook     *nftables.ChainHook
	kind     nftables.ChainType
	priority *nftables.ChainPriority
	rules    func() []rule
}

// rule is a rule and its words; by them Intact knows it.
type rule struct {
	comment string
	exprs   []expr.Any
}

// chains returns all chains, each after those that it jumps to.
func chains() []chain {
	return []chain{
		{
			"loopback", nftables.ChainHookPrerouting, nftables.ChainTypeFilter, nftables.ChainPriorityRaw,
			loopbackRules,
		},
		{"published", nil, "", nil, publishedRules},
		{
			"prerouting", nftables.ChainHookPrerouting, nftables.ChainTypeNAT, nftables.ChainPriorityNATDest,
			preroutingRules,
		},
		{
			"output", nftables.ChainHookOutput, nftables.ChainTypeNAT, nftables.ChainPriorityNATDest,
			outputRules,
		},
		{"inward", nil, "", nil, inwardRules},
		{
			"forward", nftables.ChainHookForward, nftables.ChainTypeFilter, nftables.ChainPriorityFilter,
			forwardRules,
		},
		{
			"postrouting", nftables.ChainHookPostrouting, nftables.ChainTypeNAT, nftables.ChainPriorityNATSource,
			postroutingRules,
		},
	}
}

func addRules(c *nftables.Conn, table *nftables.Table) {
	for _, d := range chains() {
		chain := c.AddChain(&nftables.Chain{
			Name: d.name, Table: table, Hooknum: d.hook, Type: d.kind, Priority: d.priority,
		})
		for _, r := range d.rules() {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: r.exprs, UserData: r.userData()})
		}
	}
}

func (r rule) userData() []byte { return userdata.AppendString(nil, userdata.TypeComment, r.comment) }

func sameRules(got []*nftables.Rule, want []rule) bool {
	return slices.EqualFunc(got, want, func(g *nftables.Rule, w rule) bool {
		return bytes.Equal(g.UserData, w.userData())
	})
}

// on makes a rule of matches and a last word.
func on(comment string, parts ...[]expr.Any) rule { return rule{comment, slices.Concat(parts...)} }

func loopbackRules() []rule {
	return []rule{
		on("no way to the host's loopback address", iifnameIsNot("lo"), loopback4(destination), drop()),
		on("nor from it", iifnameIsNot("lo"), loopback4(source), drop()),
	}
}

func preroutingRules() []rule {
	return []rule{on("to the host itself", toLocalAddress(), jump("published"))}
}

// outputRules leave ::1 alone. The kernel routes no packet of a bridge to ::1, and
// IPv6 has no route_localnet, so replies would not arrive: who listens there relays.
func outputRules() []rule {
	return append([]rule{on("no way back from a bridge", toLoopback6(), leave())}, preroutingRules()...)
}

// publishedRules: the first that finds its port in a map decides.
func publishedRules() []rule {
	return []rule{
		on("ports of one address", publishedAt(ip4, mapPortsAt4)),
		on("ports of all addresses", publishedEverywhere(ip4, mapPorts4)),
		on("ports of one address", publishedAt(ip6, mapPortsAt6)),
		on("ports of all addresses", publishedEverywhere(ip6, mapPorts6)),
	}
}

func forwardRules() []rule {
	return []rule{
		on("within a bridge", withinBridge(), accept()),
		on("internal networks", in(iif, setInternal), drop()),
		on("internal networks", in(oif, setInternal), drop()),
		on("into a bridge", in(oif, setBridges), jump("inward")),
		on("not a router between these", ip4.only(), in(iif, setUplinks4), in(oif, setUplinks4), drop()),
		on("not a router between these", ip6.only(), in(iif, setUplinks6), in(oif, setUplinks6), drop()),
	}
}

func inwardRules() []rule {
	return []rule{
		on("published, and its replies", dnatted(), accept()),
		on("name server of an isolated network", at(ip4, oif, destination, setResolvers4), accept()),
		on("name server of an isolated network", at(ip6, oif, destination, setResolvers6), accept()),
		on("and its answers", at(ip4, iif, source, setResolvers4), establishedOrRelated(), accept()),
		on("and its answers", at(ip6, iif, source, setResolvers6), establishedOrRelated(), accept()),
		on("from another bridge", in(iif, setBridges), drop()),
		on("replies to containers", establishedOrRelated(), accept()),
		on("not published", drop()),
	}
}

func postroutingRules() []rule {
	return []rule{
		on("back into the bridge it came from", dnatted(), fromHome(ip4, setHome4), masquerade()),
		on("back into the bridge it came from", dnatted(), fromHome(ip6, setHome6), masquerade()),
		on("from the host's loopback address", loopback4(source), in(oif, setBridges), masquerade()),
		on("to the outside", sourceIn(ip4, setMasquerade4), notIn(oif, setBridges), masquerade()),
		on("to the outside", sourceIn(ip6, setMasquerade6), notIn(oif, setBridges), masquerade()),
	}
}
