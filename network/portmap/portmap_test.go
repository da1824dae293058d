package portmap

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/network"
)

var (
	lo   = netip.MustParseAddr("127.0.0.1")
	any4 = netip.IPv4Unspecified()
	any6 = netip.IPv6Unspecified()
)

func TestParse(t *testing.T) {
	bindings := network.PortMap{
		network.MustParsePort("80/tcp"): {{HostPort: "8080"}, {HostIP: lo, HostPort: "8000-8010"}},
		network.MustParsePort("53/udp"): nil,
	}
	exposed := network.PortSet{network.MustParsePort("80/tcp"): {}, network.MustParsePort("9/sctp"): {}}
	got, err := Parse(bindings, exposed, true)
	want := []Want{
		{Protocol: network.UDP, Inside: 53},
		{Protocol: network.TCP, Inside: 80, First: 8080, Last: 8080},
		{Protocol: network.TCP, Inside: 80, HostIP: lo, First: 8000, Last: 8010},
		{Protocol: network.SCTP, Inside: 9},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for _, bad := range []string{"x", "-1", "70000", "10-9", "1-", "-2", "0-5", "1-2-3", " 1"} {
		_, err := Parse(network.PortMap{network.MustParsePort("80/tcp"): {{HostPort: bad}}}, nil, false)
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("host port %q: %v", bad, err)
		}
	}
	port, _ := network.PortFrom(7, "icmp")
	if _, err := Parse(network.PortMap{port: nil}, nil, false); !errdefs.IsInvalidArgument(err) {
		t.Errorf("protocol icmp: %v", err)
	}
}

func TestReserve(t *testing.T) {
	table := NewTable(nil)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	used := netip.MustParseAddrPort(l.Addr().String()).Port()
	exact := func(n uint16) []Want {
		return []Want{{Protocol: network.TCP, Inside: 80, HostIP: lo, First: n, Last: n}}
	}

	_, err = table.Reserve("web", exact(used), []netip.Addr{any4})
	self, _ := os.ReadFile("/proc/self/comm")
	if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "in use by "+strings.TrimSpace(string(self))) {
		t.Errorf("a port that this process has: %v", err)
	}
	got, err := table.Reserve("web", []Want{{Protocol: network.UDP, Inside: 53}}, []netip.Addr{any4, any6})
	if err != nil || len(got) != 2 || got[0].Host.Port() != got[1].Host.Port() || got[0].Host.Port() == 0 {
		t.Fatalf("a free port in both families: %v, %v", got, err)
	}
	_, err = table.Reserve("other", []Want{{Protocol: network.UDP, Inside: 1, HostIP: lo, First: got[0].Host.Port(), Last: got[0].Host.Port()}}, []netip.Addr{any4})
	if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "published by container web") {
		t.Errorf("another container's port: %v", err)
	}
	if c, err := net.ListenPacket("udp4", got[0].Host.String()); err == nil {
		c.Close()
		t.Error("another program got a held port")
	}
	// All or none: the second want fails, and the first is free again.
	free := got[0].Host.Port()
	table.Release(got)
	both := []Want{{Protocol: network.UDP, Inside: 53, HostIP: lo, First: free, Last: free}, exact(used)[0]}
	if _, err := table.Reserve("web", both, []netip.Addr{any4}); !errdefs.IsConflict(err) {
		t.Errorf("a free port and a used one: %v", err)
	}
	got, err = table.Reserve("web", both[:1], []netip.Addr{any4})
	if err != nil {
		t.Errorf("a port that was let go: %v", err)
	}
	table.Release(got)
	// Of a range the first free one.
	wide := exact(used)
	wide[0].Last = used + 20
	got, err = table.Reserve("web", wide, []netip.Addr{any4})
	if err != nil || len(got) != 1 || got[0].Host.Port() <= used {
		t.Errorf("of a range: %v, %v", got, err)
	}
	if err := NewTable(nil).Restore("web", got); err == nil {
		t.Error("a port that another berthd holds was restored")
	}
	table.Release(got)
	if err := table.Restore("web", got); err != nil {
		t.Error(err)
	}
	table.Release(got)
	if _, err := table.Reserve("web", []Want{{Protocol: network.TCP, Inside: 1, HostIP: netip.MustParseAddr("192.0.2.1")}}, []netip.Addr{any4}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("an address that the host has not: %v", err)
	}
	if _, err := table.Reserve("web", []Want{{Protocol: network.TCP, Inside: 1, HostIP: netip.MustParseAddr("2001:db8::1")}}, []netip.Addr{any4}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a family that the container has not: %v", err)
	}
}
