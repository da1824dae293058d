package firewall_test

import (
	"bufio"
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/network/firewall"
)

// both asks by TCP and by UDP.
func both(check func(proto, to string), to string) {
	check("tcp", to)
	check("udp", to)
}

// seesBoth checks who the server sees, by TCP and by UDP.
func (s *space) seesBoth(to, want string) {
	s.t.Helper()
	both(func(proto, to string) { s.t.Helper(); s.sees(proto, to, want) }, to)
}

func (s *space) failsBoth(to string) {
	s.t.Helper()
	both(func(proto, to string) { s.t.Helper(); s.fails(proto, to) }, to)
}

// publish is a TCP and a UDP port.
func publish(host, to string) []firewall.Port {
	return []firewall.Port{port("tcp", host, to), port("udp", host, to)}
}

// labPorts are published in several ways.
func labPorts() []firewall.Port {
	var ports []firewall.Port
	for host, to := range map[string]string{
		"0.0.0.0:8080":   "172.30.1.2:80",
		"[::]:8080":      "[fd00:1::2]:80",
		"192.0.2.1:8081": "172.30.1.2:80",
		// One address before all addresses: port 79 has no server.
		"0.0.0.0:8082":         "172.30.1.2:79",
		"192.0.2.1:8082":       "172.30.1.2:80",
		"[::]:8082":            "[fd00:1::2]:79",
		"[2001:db8::1]:8082":   "[fd00:1::2]:80",
		"127.0.0.1:8083":       "172.30.1.2:80",
		"198.51.100.1:8084":    "172.30.1.2:80", // not an address of the host
		"0.0.0.0:8085":         "172.30.3.2:80", // in the internal network
		"[2001:db8:ff::]:8084": "[fd00:1::2]:80",
	} {
		ports = append(ports, publish(host, to)...)
	}
	return ports
}

// eachLab runs a test twice: br_netfilter, where it is loaded, makes packets within a
// bridge meet the rules; a packet that is sent back into its bridge is then
// bridged, else routed.
func eachLab(t *testing.T, test func(*testing.T, *lab)) {
	t.Parallel()
	if os.Getenv("BERTH_TEST_VM") != "" { // a machine of our own
		newSpace(t).run("", "modprobe", "br_netfilter")
	}
	for _, netfilter := range []string{"0", "1"} {
		t.Run("br_netfilter "+netfilter, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			for _, f := range []string{"iptables", "ip6tables"} {
				path := "net/bridge/bridge-nf-call-" + f
				if _, err := os.Stat("/proc/sys/" + path); err == nil {
					l.host.sysctl(path, netfilter)
				} else if netfilter == "1" {
					t.Skip("br_netfilter is not loaded")
				}
			}
			test(t, l)
		})
	}
}

func TestPublishedPorts(t *testing.T) { eachLab(t, testPublishedPorts) }

func testPublishedPorts(t *testing.T, l *lab) {
	l.reset(t, labPorts()...)
	for _, s := range []*space{l.red1, l.inner1} {
		s.serve(80)
	}
	l.outside.ip("route add 198.51.100.0/24 via " + hostIP)

	t.Run("from outside", func(t *testing.T) {
		l.outside.t = t
		l.outside.seesBoth("192.0.2.1:8080", outsideIP)
		l.outside.seesBoth("[2001:db8::1]:8080", outsideIP6)
		l.outside.seesBoth("172.30.1.1:8080", outsideIP) // the gateway's is an address of the host, too
		l.outside.seesBoth("192.0.2.1:8081", outsideIP)
		l.outside.seesBoth("192.0.2.1:8082", outsideIP)
		l.outside.seesBoth("[2001:db8::1]:8082", outsideIP6)
		for _, to := range []string{"172.30.1.1:8082", "[fd00:1::1]:8082"} { // a reset, and an ICMP error
			both(func(proto, to string) {
				if _, err := l.outside.ask(proto, to, 5*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("ask %s %s: %v, want the container's refusal", proto, to, err)
				}
			}, to)
		}
		l.outside.failsBoth("192.0.2.1:8083")
		l.outside.failsBoth("198.51.100.1:8084")
		l.outside.failsBoth("192.0.2.1:8085")
		l.outside.failsBoth("192.0.2.1:8099")
	})
	t.Run("from the host", func(t *testing.T) {
		l.host.t = t
		l.host.seesBoth("127.0.0.1:8080", "172.30.1.1")
		l.host.seesBoth("127.0.0.7:8080", "172.30.1.1")
		l.host.seesBoth("127.0.0.1:8083", "172.30.1.1")
		l.host.seesBoth("192.0.2.1:8080", hostIP)
		l.host.seesBoth("[2001:db8::1]:8080", hostIP6)
		l.host.seesBoth("172.30.2.1:8080", "172.30.2.1")
		if _, err := l.host.ask("tcp", "[::1]:8080", 5*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("ask tcp ::1: %v, want connection refused, at once", err)
		}
		l.host.seesBoth("172.30.1.2:80", "172.30.1.1") // not published, but the host may
		l.host.seesBoth("172.30.3.2:80", "172.30.3.1")
		l.host.failsBoth("192.0.2.1:8083")
	})
	t.Run("from containers", func(t *testing.T) {
		for _, s := range []*space{l.red1, l.red2, l.blue1, l.inner1} {
			s.t = t
		}
		for _, s := range []*space{l.red1, l.red2} { // the server itself, and its neighbour
			s.seesBoth("192.0.2.1:8080", "172.30.1.1")
			s.seesBoth("172.30.1.1:8080", "172.30.1.1")
			s.seesBoth("[fd00:1::1]:8080", "fd00:1::1")
		}
		l.red2.seesBoth("172.30.1.2:80", "172.30.1.3")
		l.blue1.seesBoth("192.0.2.1:8080", "172.30.2.2")
		l.blue1.seesBoth("172.30.2.1:8080", "172.30.2.2")
		l.blue1.seesBoth("[fd00:2::1]:8080", "fd00:2::2")
		l.inner1.failsBoth("172.30.3.1:8080")
		l.inner1.failsBoth("192.0.2.1:8080")
	})
}

func TestIsolation(t *testing.T) { eachLab(t, testIsolation) }

func testIsolation(t *testing.T, l *lab) {
	l.reset(t)
	for _, s := range []*space{l.outside, l.host, l.red1, l.blue1, l.inner1} {
		s.serve(80)
	}
	for _, to := range []string{"172.30.1.2:80", "[fd00:1::2]:80"} {
		l.outside.failsBoth(to) // it has a route there
		l.blue1.failsBoth(to)
		l.inner1.failsBoth(to)
	}
	for _, to := range []string{"172.30.3.2:80", "[fd00:3::2]:80"} {
		l.outside.failsBoth(to)
		l.red1.failsBoth(to)
	}
	// Masqueraded, seen from outside; internal ones do not get there.
	l.red1.seesBoth(outsideIP+":80", hostIP)
	l.red1.seesBoth("["+outsideIP6+"]:80", hostIP6)
	l.inner1.failsBoth(outsideIP + ":80")
	l.inner1.failsBoth("[" + outsideIP6 + "]:80")
	// Within one bridge.
	l.red2.seesBoth("172.30.1.2:80", "172.30.1.3")
	l.inner2.seesBoth("172.30.3.2:80", "172.30.3.3")
	l.inner2.seesBoth("[fd00:3::2]:80", "fd00:3::3")
	// The host's own processes.
	l.red1.seesBoth("172.30.1.1:80", "172.30.1.2")
	l.inner1.seesBoth("172.30.3.1:80", "172.30.3.2")

	// Without masquerading the source stays.
	networks := l.networks()
	networks[0].Masquerade = false
	if err := l.table.Reset(firewall.State{Networks: networks}); err != nil {
		t.Fatal(err)
	}
	l.red2.seesBoth(outsideIP+":80", "172.30.1.3")
	l.red2.seesBoth("["+outsideIP6+"]:80", "fd00:1::3")
	l.outside.failsBoth("172.30.1.2:80")
}

// A neighbour on a wire, or a container, cannot reach what listens on 127.0.0.1.
func TestLoopbackOfTheHost(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.reset(t)
	l.host.serve(80)
	l.host.sysctl("net/ipv4/conf/up0/route_localnet", "1") // as kube-proxy does
	for s, gateway := range map[*space]string{l.outside: hostIP, l.red1: "172.30.1.1"} {
		s.ip("addr del 127.0.0.1/8 dev lo")
		s.ip("route add 127.0.0.2 via " + gateway + " dev eth0")
		s.sysctl("net/ipv4/conf/all/route_localnet", "1")
	}
	check := func(check func(*space, string)) {
		t.Helper()
		check(l.outside, "127.0.0.2:80")
		check(l.red1, "127.0.0.2:80")
	}
	check((*space).failsBoth)
	// So the test sees what it says: without the table they do reach it.
	if err := l.table.Delete(); err != nil {
		t.Fatal(err)
	}
	check(func(s *space, to string) {
		t.Helper()
		if _, err := s.ask("tcp", to, 5*time.Second); err != nil {
			t.Errorf("without a table: ask %s: %v; want an answer", to, err)
		}
	})
}

// A rule of the host that drops has the last word, whatever its priority.
func TestHostFirewall(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.red1.serve(80)
	l.outside.serve(80)
	l.reset(t, publish("0.0.0.0:8080", "172.30.1.2:80")...)
	for _, priority := range []string{"filter - 10", "filter + 10"} {
		l.host.nft("table inet host {\n chain forward {\n type filter hook forward priority " + priority + "; policy drop;\n" +
			"ct state established,related accept\n ip saddr " + outsideIP + " tcp dport 80 ct original proto-dst 8080 accept\n}\n}")
		before := l.host.run("", "nft", "list", "table", "inet", "host")
		l.outside.sees("tcp", "192.0.2.1:8080", outsideIP)
		l.outside.fails("udp", "192.0.2.1:8080")
		l.outside.failsBoth("[2001:db8::1]:8080")
		l.red1.failsBoth(outsideIP + ":80")
		l.reset(t, publish("0.0.0.0:8080", "172.30.1.2:80")...)
		l.outside.fails("udp", "192.0.2.1:8080")
		if after := l.host.run("", "nft", "list", "table", "inet", "host"); after != before {
			t.Errorf("the host's table has changed from\n%s to\n%s", before, after)
		}
		l.host.nft("delete table inet host")
	}
	l.outside.seesBoth("192.0.2.1:8080", outsideIP)
}

func TestUplinks(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	other := newSpace(t)
	l.host.ip("link add up1 type veth peer name eth0 netns " + other.path + "\naddr add 203.0.113.1/24 dev up1\nlink set up1 up")
	other.ip("addr add 203.0.113.9/24 dev eth0\nlink set eth0 up\nroute add default via 203.0.113.1")
	l.outside.ip("route add 203.0.113.0/24 via " + hostIP)
	l.outside.serve(80)
	l.reset(t)
	other.seesBoth(outsideIP+":80", "203.0.113.9")
	if err := l.table.Reset(firewall.State{Networks: l.networks(), Uplinks4: []string{"up0", "up1"}}); err != nil {
		t.Fatal(err)
	}
	other.failsBoth(outsideIP + ":80")
	l.red1.seesBoth(outsideIP+":80", hostIP)
}

// Ports and networks come and go; connections outlast a Reset.
func TestChangesWithTraffic(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.red1.serve(80)
	if err := l.table.Reset(firewall.State{}); err != nil {
		t.Fatal(err)
	}
	ports := publish("0.0.0.0:8080", "172.30.1.2:80")
	for _, n := range l.networks() {
		if err := l.table.AddNetwork(n); err != nil {
			t.Fatal(err)
		}
	}
	l.outside.fails("tcp", "192.0.2.1:8080")
	if err := l.table.AddPorts(ports); err != nil {
		t.Fatal(err)
	}
	l.outside.seesBoth("192.0.2.1:8080", outsideIP)

	c, err := l.outside.dial("tcp", "192.0.2.1:8080", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := bufio.NewReader(c)
	if _, err := read.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	echo := func(when string) {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(c, "still there?\n"); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if got, err := read.ReadString('\n'); err != nil || !strings.HasPrefix(got, "still") {
			t.Fatalf("%s: %q, %v", when, got, err)
		}
	}
	echo("before")
	for range 10 {
		l.reset(t, ports...)
		echo("after a reset")
	}
	if err := l.table.RemovePorts(ports); err != nil {
		t.Fatal(err)
	}
	l.outside.fails("tcp", "192.0.2.1:8080")
	echo("after its port was removed")
}

// Tables are in the namespace of who opened them, whoever calls.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	a, b := newSpace(t), newSpace(t)
	inA, inB := open(t, a, "berth"), open(t, b, "berth")
	if err := inA.Reset(twoNetworks()); err != nil {
		t.Fatal(err)
	}
	if got := b.run("", "nft", "list", "ruleset"); got != "" {
		t.Errorf("the other namespace has\n%s", got)
	}
	if err := inB.Delete(); err != nil {
		t.Fatal(err)
	}
	if ok, err := inA.Intact(); !ok || err != nil {
		t.Errorf("intact %v, %v", ok, err)
	}
}

// Members of an isolated network do not reach each other through the gateway
// either; they reach its name server, here red2.
func TestIsolatedByWayOfTheHost(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.red2.serve(80)
	third := l.container(t, "red", 1, 4)
	third.serve(80)
	for _, to := range []string{"172.30.1.3", "172.30.1.4"} {
		l.red1.ip("route add " + to + "/32 via 172.30.1.1")
	}
	l.reset(t)
	l.red1.sees("udp", "172.30.1.4:80", "172.30.1.2")
	networks := l.networks()
	networks[0].Isolated = true
	networks[0].Resolvers = []netip.Addr{netip.MustParseAddr("172.30.1.3")}
	if err := l.table.Reset(firewall.State{Networks: networks}); err != nil {
		t.Fatal(err)
	}
	l.red1.fails("udp", "172.30.1.4:80")
	l.red1.fails("tcp", "172.30.1.4:80")
	l.red1.sees("udp", "172.30.1.3:80", "172.30.1.2")
}
