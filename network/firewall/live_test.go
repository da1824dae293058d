package firewall_test

import (
	"net/netip"
	"strings"
	"testing"

	"berth/network/firewall"

	"github.com/google/go-cmp/cmp"
)

// TestLook: elements are said as nft lists them, and what the kernel lacks is noticed.
func TestLook(t *testing.T) {
	s := newSpace(t)
	var table *firewall.Table
	var err error
	s.do(func() { table, err = firewall.Open("looked") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	prefix, port := netip.MustParsePrefix, netip.MustParseAddrPort
	n := firewall.Network{
		Bridge: "br-1", Subnets: []netip.Prefix{prefix("172.18.0.0/16"), prefix("fd00:18::/64"), prefix("255.255.255.0/24")}, Masquerade: true,
		Isolated: true, Resolvers: []netip.Addr{netip.MustParseAddr("172.18.255.254"), netip.MustParseAddr("fd00:18::ffff")},
	}
	inner := firewall.Network{Bridge: "br-2", Subnets: []netip.Prefix{prefix("172.19.0.0/24")}, Internal: true}
	ports := []firewall.Port{
		{Protocol: "sctp", Host: port("0.0.0.0:8080"), To: port("172.18.0.2:80")},
		{Protocol: "udp", Host: port("127.0.0.1:8080"), To: port("172.18.0.2:81")},
		{Protocol: "tcp", Host: port("[::]:8080"), To: port("[fd00:18::2]:80")},
		{Protocol: "tcp", Host: port("[2001:db8::1]:8080"), To: port("[fd00:18::2]:80")},
	}
	look := func() (all []firewall.Element) {
		t.Helper()
		for _, n := range []firewall.Network{n, inner} {
			found, err := table.LookNetwork(n)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found...)
		}
		found, err := table.LookPorts(ports)
		if err != nil {
			t.Fatal(err)
		}
		return append(all, found...)
	}
	for _, e := range look() {
		if e.Live {
			t.Errorf("without a table: %+v", e)
		}
	}
	if err := table.Reset(firewall.State{Networks: []firewall.Network{n, inner}, Ports: ports}); err != nil {
		t.Fatal(err)
	}
	all := look()
	if len(all) != 17 {
		t.Errorf("%d elements: %v", len(all), all)
	}
	for _, e := range all {
		kind := "set"
		if strings.HasPrefix(e.Set, "ports") {
			kind = "map"
		}
		if listed := s.run("", "nft", "list", kind, "inet", "looked", e.Set); !e.Live || !strings.Contains(listed, e.Text) {
			t.Errorf("%+v is not in %s", e, listed)
		}
	}
	s.nft(`flush set inet looked masquerade4
		delete element inet looked ports_at4 { 127.0.0.1 . udp . 8080 }
		add element inet looked ports_at4 { 127.0.0.1 . udp . 8080 : 10.0.0.1 . 9 }`)
	var lacks []firewall.Element
	for _, e := range look() {
		if !e.Live {
			lacks = append(lacks, e)
		}
	}
	want := []firewall.Element{
		{Set: "masquerade4", Text: "172.18.0.0/16"}, {Set: "masquerade4", Text: "255.255.255.0/24"},
		{Set: "ports_at4", Text: "127.0.0.1 . udp . 8080 : 172.18.0.2 . 81", Instead: "10.0.0.1 . 9"},
	}
	if diff := cmp.Diff(want, lacks); diff != "" {
		t.Error("lacks:", diff)
	}
}
