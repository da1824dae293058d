package explain

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"berth/network/firewall"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func facts() Facts {
	inner := Network{
		Name: "inner", Bridge: "br-1", Interface: "eth1", Addresses: []netip.Prefix{netip.MustParsePrefix("172.19.0.2/24")},
		Gateways: []netip.Addr{addr("172.19.0.1")}, Resolvers: []netip.Addr{addr("172.19.0.254")}, Internal: true, Names: []string{"web"},
		Elements: []firewall.Element{{Set: "bridges", Text: `"br-1"`, Live: true}, {Set: "internal", Text: `"br-1"`, Live: true}},
	}
	front := Network{
		Name: "front", Bridge: "br-0", Interface: "eth0", Default: true, Masquerade: true, In: "10mbit",
		Addresses: []netip.Prefix{netip.MustParsePrefix("172.18.0.2/24"), netip.MustParsePrefix("fd00:18::2/64")},
		Gateways:  []netip.Addr{addr("172.18.0.1"), addr("fd00:18::1")}, Resolvers: []netip.Addr{addr("172.18.0.254")},
		Names: []string{"web", "www"}, Members: []Member{{"db", []netip.Addr{addr("172.18.0.3")}}},
		Elements: []firewall.Element{{Set: "bridges", Text: `"br-0"`, Live: true}, {Set: "masquerade4", Text: "172.18.0.0/24"}},
	}
	port := func(host, to, set, text string, live bool) Port {
		p := Port{Protocol: "tcp", Host: netip.MustParseAddrPort(host), Element: firewall.Element{Set: set, Text: text, Live: live}}
		if to != "" {
			p.To = netip.MustParseAddrPort(to)
		}
		return p
	}
	loopback := port("[::1]:8083", "", "", "", false)
	loopback.Relays = []netip.AddrPort{netip.MustParseAddrPort("[fd00:18::2]:80"), netip.MustParseAddrPort("172.18.0.2:80")}
	return Facts{
		Container: "web", ID: strings.Repeat("0123456789ab", 6)[:64], Networks: []Network{front, inner}, Table: "berth", Intact: true,
		Ports: []Port{
			port("0.0.0.0:8080", "172.18.0.2:80", "ports4", "tcp . 8080 : 172.18.0.2 . 80", true),
			port("127.0.0.1:8081", "172.18.0.2:80", "ports_at4", "127.0.0.1 . tcp . 8081 : 172.18.0.2 . 80", true),
			port("[::]:8082", "[fd00:18::2]:80", "ports6", "tcp . 8082 : fd00:18::2 . 80", false),
			loopback,
		},
		Foreign: []firewall.Chain{{Family: "ip", Table: "filter\x1b[2J", Name: "FORWARD", Hook: "forward", Priority: 0, Policy: "drop"}},
	}
}

// TestText: the whole text of a container that has a bit of everything.
func TestText(t *testing.T) {
	const golden = "testdata/web.txt"
	got := Explain(facts()).Text()
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it is not %s:\n%s", golden, got)
	}
}

// TestRules: every rule that is quoted is in the table, in its chain.
func TestRules(t *testing.T) {
	data, err := os.ReadFile("../firewall/testdata/base.nft")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	chain := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "chain "); ok {
			chain = strings.TrimSuffix(name, " {")
		}
		listed[chain+": "+line] = true
	}
	for _, rule := range []string{
		rulePortsAt4, rulePorts4, rulePortsAt6, rulePorts6, ruleLoopback6, ruleWire, ruleDnatted, ruleOther, ruleClosed,
		ruleWithin, ruleFromInner, ruleToInner, ruleMasquer4, ruleMasquer6,
	} {
		if !listed[rule] {
			t.Errorf("the table has no rule %s", rule)
		}
	}
}

// TestAnswers: what the kernel lacks and what filters bridges changes the answers.
func TestAnswers(t *testing.T) {
	find := func(f Facts, words string) (found Path) {
		r := Explain(f)
		all := r.Outward
		for _, in := range r.Inward {
			all = append(all, in.Paths...)
		}
		for _, p := range all {
			if strings.HasPrefix(p.What, words) {
				return p
			}
		}
		t.Fatalf("no path %q", words)
		return found
	}
	for name, v := range map[string]struct {
		change func(*Facts)
		words  string
		answer Answer
		why    string
	}{
		"host's forward chain":        {func(*Facts) {}, "other hosts, by each IPv4", Perhaps, ""},
		"it is of the other family":   {func(f *Facts) { f.Foreign[0].Family = "ip6" }, "other hosts, by each IPv4", Yes, ""},
		"it is not on the host's way": {func(*Facts) {}, "this host, by each IPv4", Yes, ""},
		"within a bridge":             {func(*Facts) {}, "containers of network front", Yes, "the bridge"},
		"within a filtered bridge":    {func(f *Facts) { f.Filtered = true }, "containers of network front", Perhaps, ""},
		"bridge's own chain":          {func(f *Facts) { f.Foreign[0].Family = "bridge" }, "containers of network front", Perhaps, ""},
		"apart":                       {func(f *Facts) { f.Networks[0].Isolated = true }, "containers of network front", No, "enable_icc"},
		"apart, published, filtered":  {func(f *Facts) { f.Networks[0].Isolated, f.Filtered = true, true }, "published ports of containers of network front", No, "br_netfilter"},
		"bridge lacks":                {func(f *Facts) { f.Foreign, f.Networks[0].Elements[0].Live = nil, false }, "containers of other networks, and other hosts that", Yes, "no bridge"},
		"masquerade lacks":            {func(*Facts) {}, "other hosts, by IPv4, with its own address 172.18.0.2", Perhaps, "masquerade4"},
		"no address of the family":    {func(f *Facts) { f.Networks[0].Addresses = f.Networks[0].Addresses[:1] }, "other hosts, by IPv6", No, "no IPv6 address"},
		"no default route":            {func(f *Facts) { f.Networks, f.Ports = f.Networks[1:], nil }, "other hosts", No, "default route"},
		"a LAN":                       {func(f *Facts) { f.Networks[0].Lan, f.Ports = "macvlan on eth0", nil }, "other hosts, with its own address", Perhaps, "parent"},
		"a LAN only": {func(f *Facts) {
			f.Networks, f.Ports = f.Networks[:1], nil
			f.Networks[0].Lan = "macvlan on eth0"
		}, "this host", No, "macvlan on eth0"},
		"no network":                    {func(f *Facts) { f.Networks, f.Ports = nil, nil }, "this host", No, "no network"},
		"a port of another's":           {func(f *Facts) { f.Ports[0].Element.Live, f.Ports[0].Element.Instead = false, "10.0.0.1 . 1" }, "everybody, by each IPv4", No, "10.0.0.1"},
		"a port without address":        {func(f *Facts) { f.Ports[2].To = netip.AddrPort{} }, "everybody, by each IPv6", No, "no IPv6 address"},
		"no masquerading was asked for": {func(f *Facts) { f.Networks[0].Masquerade = false }, "other hosts, by IPv4, with its own address", Perhaps, "enable_ip_masquerade=false"},
	} {
		f := facts()
		v.change(&f)
		if p := find(f, v.words); p.Answer != v.answer || !strings.Contains(p.Why, v.why) {
			t.Errorf("%s: %+v; want %s, %s", name, p, v.answer, v.why)
		}
	}
}
