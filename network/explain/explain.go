// Package explain says who reaches a container and what it reaches, and which rule does it.
//
// Level: L2, a subroom of network.
// Owns: what berth's rules mean for one container, in words; the text that shows it.
// May import: network/firewall.
// Must not know: how the kernel is asked, where records are kept.
//
// Its input are facts: what is recorded of a container, and which elements of sets and maps
// the kernel really has. An answer follows the kernel, and a difference is told. Rules
// are quoted as nft(8) lists them; the tests compare them with the live table's.
package explain

import (
	"net/netip"

	"berth/network/firewall"
)

// Facts are what is known of a running container.
type Facts struct {
	Container, ID string
	Networks      []Network
	Ports         []Port
	Servers       []netip.Addr // name servers that were asked for
	// Table is the name of berth's table, Intact whether its rules are as berth has written them.
	Table  string
	Intact bool
	// Filtered: packets within a bridge pass the rules too (br_netfilter).
	Filtered bool
	Foreign  []firewall.Chain
}

// Network is a network that the container is in.
type Network struct {
	Name, Bridge, Interface string
	Lan                     string `json:",omitempty"` // macvlan on eth0: there is no bridge, and no rule of the host
	Addresses               []netip.Prefix
	Gateways                []netip.Addr
	Resolvers               []netip.Addr // name servers
	Default                 bool         // the default route goes here
	Internal, Isolated      bool
	Masquerade              bool
	In, Out                 string `json:",omitempty"` // rate limits, as in 10mbit
	Names                   []string
	Members                 []Member // the others
	// Elements are what the table is to hold for this network.
	Elements []firewall.Element
}

// Member is another container of a network.
type Member struct {
	Name      string
	Addresses []netip.Addr
}

// Port is a published port.
type Port struct {
	Protocol string
	Host     netip.AddrPort
	To       netip.AddrPort // not valid if the container has no address of that family
	Element  firewall.Element
	// Relays is where berthd relays what comes to the port of [::1], tried in that order.
	Relays []netip.AddrPort `json:",omitempty"`
}

// Answer says whether something is reached.
type Answer string

// The answers. Perhaps: berth's rules let it pass, and one of the host's own may drop it.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Perhaps Answer = "perhaps"
)

// Path is who reaches the container, or what it reaches.
type Path struct {
	Answer Answer
	What   string
	// Rule is the rule that decides, as nft(8) lists it, after its chain; Why is the reason in words.
	Rule string `json:",omitempty"`
	Why  string `json:",omitempty"`
	// Unless are chains of the host's own rules that may drop it all the same.
	Unless []firewall.Chain `json:",omitempty"`
}

// Target is something of the container that others reach.
type Target struct {
	What  string
	Port  *Port `json:",omitempty"`
	Paths []Path
}

// Report is everything that is said of a container.
type Report struct {
	Container, ID string
	// Note is what is to be known before the rest, as whose network it is.
	Note     string `json:",omitempty"`
	Networks []Network
	Inward   []Target
	Outward  []Path
	Names    []string
	Foreign  []firewall.Chain
	Problems []string
}

// The rules that decide. The order is that of the table.
const (
	rulePortsAt4   = `published: dnat ip to ip daddr . meta l4proto . th dport map @ports_at4 comment "ports of one address"`
	rulePorts4     = `published: dnat ip to meta l4proto . th dport map @ports4 comment "ports of all addresses"`
	rulePortsAt6   = `published: dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports_at6 comment "ports of one address"`
	rulePorts6     = `published: dnat ip6 to meta l4proto . th dport map @ports6 comment "ports of all addresses"`
	ruleLoopback6  = `output: ip6 daddr ::1 return comment "no way back from a bridge"`
	ruleWire       = `loopback: iifname != "lo" ip daddr 127.0.0.0/8 drop comment "no way to the host's loopback address"`
	ruleDnatted    = `inward: ct status dnat accept comment "published, and its replies"`
	ruleOther      = `inward: iifname @bridges drop comment "from another bridge"`
	ruleClosed     = `inward: drop comment "not published"`
	ruleWithin     = `forward: iifname . oifname @within accept comment "within a bridge"`
	ruleFromInner  = `forward: iifname @internal drop comment "internal networks"`
	ruleToInner    = `forward: oifname @internal drop comment "internal networks"`
	ruleMasquer4   = `postrouting: ip saddr @masquerade4 oifname != @bridges masquerade comment "to the outside"`
	ruleMasquer6   = `postrouting: ip6 saddr @masquerade6 oifname != @bridges masquerade comment "to the outside"`
	setBridges     = "bridges"
	setInternal    = "internal"
	setMasquerade4 = "masquerade4"
	setMasquerade6 = "masquerade6"
)

// Explain says what follows from the facts.
func Explain(f Facts) *Report {
	r := &Report{
		Container: f.Container, ID: f.ID, Networks: f.Networks, Foreign: f.Foreign,
		Inward: []Target{}, Outward: []Path{}, Names: []string{}, Problems: f.problems(),
	}
	for i := range f.Ports {
		r.Inward = append(r.Inward, f.published(&f.Ports[i]))
	}
	for _, n := range f.Networks {
		r.Inward = append(r.Inward, f.direct(n))
		r.Outward = append(r.Outward, f.neighbours(n))
	}
	r.Outward = append(r.Outward, f.otherNetworks()...)
	r.Outward = append(r.Outward, f.host())
	r.Outward = append(r.Outward, f.world()...)
	r.Names = f.names()
	return r
}

// problems are differences between what is recorded and what the kernel has.
func (f *Facts) problems() []string {
	all := []string{}
	if !f.Intact {
		all = append(all, "table inet "+f.Table+" is not as berth wrote it: berthd writes it anew within seconds")
	}
	const remedy = "somebody removed it: berthd adds it again within seconds"
	for _, n := range f.Networks {
		for _, e := range n.Elements {
			if !e.Live {
				all = append(all, "network "+n.Name+": the kernel has no "+e.String()+": "+remedy)
			}
		}
	}
	for _, p := range f.Ports {
		switch {
		case !p.To.IsValid():
		case p.Element.Instead != "":
			all = append(all, "port "+p.text()+" leads to "+p.Element.Instead+" in the kernel: somebody changed "+p.Element.String()+": restart berthd, which writes the table anew")
		case !p.Element.Live:
			all = append(all, "port "+p.text()+": the kernel has no "+p.Element.String()+": "+remedy)
		}
	}
	return all
}

func (p *Port) text() string { return p.Host.String() + "/" + p.Protocol }

// lacks says whether the kernel lacks an element of the network in this set.
func (n *Network) lacks(set string) bool {
	for _, e := range n.Elements {
		if e.Set == set && !e.Live {
			return true
		}
	}
	return false
}

func (n *Network) has(v6 bool) bool {
	for _, a := range n.Addresses {
		if a.Addr().Is6() == v6 {
			return true
		}
	}
	return false
}

// route is the network of the default route, nil without one.
func (f *Facts) route() *Network {
	for i := range f.Networks {
		if f.Networks[i].Default {
			return &f.Networks[i]
		}
	}
	return nil
}
