package bridge

import (
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func testBridge(name, addresses string) Bridge {
	return Bridge{Name: name, Network: "id-of-" + name, MTU: 1400, Addresses: prefixes(addresses)}
}

func TestEnsure(t *testing.T) {
	h := newHost(t)
	b := testBridge("berth0", "172.17.0.1/24 fd00:1::1/64")
	index, err := h.Ensure(b)
	must(t, err)
	check := func(when string) {
		t.Helper()
		d := devices(t, h.ns)["berth0"]
		if d == nil || d.Index != index || d.LinkInfo.Kind != "bridge" || d.MTU != 1400 || !d.up() || d.Alias != "berth network id-of-berth0" ||
			d.Address != b.mac().String() || d.global(t) != "172.17.0.1/24 fd00:1::1/64" {
			t.Fatalf("%s: %+v", when, d)
		}
		for path, want := range map[string]string{
			"ipv4/conf/berth0/route_localnet": "1", "ipv6/conf/berth0/accept_ra": "0",
			"ipv6/conf/berth0/accept_dad": "0", "ipv6/conf/berth0/disable_ipv6": "0",
		} {
			if got := h.sysctl(path); got != want {
				t.Errorf("%s: %s is %s, want %s", when, path, got, want)
			}
		}
	}
	check("made")
	for _, damage := range []string{
		"ip link set berth0 up", // none
		"ip address del 172.17.0.1/24 dev berth0",
		"ip address flush dev berth0",
		"ip link set berth0 down",
		"ip link set berth0 mtu 1500",
		"ip link set berth0 address 02:00:00:00:00:01",
		"sysctl -q -w net.ipv4.conf.berth0.route_localnet=0",
		"sysctl -q -w net.ipv6.conf.berth0.disable_ipv6=1",
		"ip link delete berth0",
	} {
		args := strings.Fields(damage)
		h.run(args[0], args[1:]...)
		again, err := h.Ensure(b)
		must(t, err)
		if damage == "ip link delete berth0" {
			index = again
		}
		check("after " + damage)
	}
	got, err := h.Bridges()
	b.MAC = b.mac()
	if err != nil || !reflect.DeepEqual(got, []Bridge{b}) {
		t.Errorf("bridges: %+v, %v", got, err)
	}
	must(t, h.Remove("berth0"))
	must(t, h.Remove("berth0"))
	if d := devices(t, h.ns); d["berth0"] != nil {
		t.Error("removed bridge is there")
	}
}

// Without IPv6 addresses there is no IPv6, not even link-local.
func TestEnsureIPv4Only(t *testing.T) {
	h := newHost(t)
	_, err := h.Ensure(testBridge("berth0", "172.17.0.1/24"))
	must(t, err)
	if d := devices(t, h.ns)["berth0"]; len(d.Addresses) != 1 {
		t.Errorf("%+v", d.Addresses)
	}
}

func TestEnsureRefuses(t *testing.T) {
	h := newHost(t)
	h.run("ip", "link", "add", "br0", "type", "bridge")
	h.run("ip", "link", "set", "br0", "up")
	h.run("ip", "link", "add", "other0", "type", "veth", "peer", "other1")
	_, err := h.Ensure(testBridge("berth0", ""))
	must(t, err)
	other := testBridge("berth0", "")
	other.Network = "another"
	for name, c := range map[string]struct {
		b     Bridge
		class error
		want  string
	}{
		"foreign bridge":    {testBridge("br0", ""), errdefs.ErrConflict, "ip link delete br0"},
		"foreign device":    {testBridge("other0", ""), errdefs.ErrConflict, "a veth"},
		"another network's": {other, errdefs.ErrConflict, "belongs to network id-of-berth0"},
		"name":              {testBridge("a/b", ""), errdefs.ErrInvalidArgument, "invalid name"},
		"long name":         {testBridge("sixteen-letters-", ""), errdefs.ErrInvalidArgument, "invalid name"},
		"no network":        {Bridge{Name: "b"}, errdefs.ErrInvalidArgument, "id of its network"},
		"long network":      {Bridge{Name: "b", Network: strings.Repeat("x", 250)}, errdefs.ErrInvalidArgument, "at most"},
	} {
		if _, err := h.Ensure(c.b); !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for _, name := range []string{"br0", "other0", "lo"} {
		if err := h.Remove(name); !errors.Is(err, errdefs.ErrConflict) {
			t.Errorf("remove %s: %v", name, err)
		}
	}
	if d := devices(t, h.ns); d["br0"] == nil || d["other0"] == nil || d["br0"].Alias != "" {
		t.Error("foreign devices were changed")
	}
}

// What a berthd leaves that is killed before it can set the alias.
func TestEnsureAdoptsAnUnfinishedBridge(t *testing.T) {
	h := newHost(t)
	h.run("ip", "link", "add", "berth0", "type", "bridge")
	_, err := h.Ensure(testBridge("berth0", "172.17.0.1/24"))
	must(t, err)
	if d := devices(t, h.ns)["berth0"]; d.Alias != "berth network id-of-berth0" || !d.up() {
		t.Errorf("%+v", d)
	}
}

// A bridge that cannot be set up is not left behind.
func TestEnsureUndoes(t *testing.T) {
	h := newHost(t)
	b := testBridge("berth0", "172.17.0.1/24")
	b.MTU = 1 << 20
	if _, err := h.Ensure(b); err == nil {
		t.Error("no error")
	}
	if d := devices(t, h.ns); d["berth0"] != nil {
		t.Error("the bridge was left behind")
	}
}

func TestPrefixes(t *testing.T) {
	h := newHost(t)
	for _, c := range []string{
		"link add eth0 type bridge", "link set eth0 up", "address add 10.1.0.5/16 dev eth0", "address add fd00:5::5/64 dev eth0 nodad",
		"address add 10.9.0.1 peer 10.9.0.2 dev eth0",
		"route add default via 10.1.0.1", "route add 10.2.0.0/15 via 10.1.0.1", "route add 0.0.0.0/1 via 10.1.0.1",
		"route add 10.77.0.0/24 via 10.1.0.1 table 77", "route add blackhole 10.66.0.0/16", "route add default via fd00:5::1",
	} {
		h.run("ip", strings.Fields(c)...)
	}
	got, err := h.Prefixes()
	must(t, err)
	for _, want := range prefixes("10.1.0.0/16 10.2.0.0/15 10.77.0.0/24 10.66.0.0/16 10.9.0.2/32 10.9.0.1/32 fd00:5::/64 127.0.0.0/8") {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
	for _, p := range got {
		if p.Bits() < 2 {
			t.Errorf("%s is in it", p)
		}
	}
}

// The host is made a router for a bridge of ours, which may be there already: it is
// none of the devices between which it is to be none.
func TestNames(t *testing.T) {
	h := newHost(t)
	h.run("ip", "link", "add", "eth0", "type", "bridge")
	if _, err := h.Ensure(Bridge{Name: "br-ours", Network: "n1", MTU: 1500, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if names, err := h.Names(); err != nil || !slices.Equal(names, []string{"eth0"}) {
		t.Errorf("devices of others: %q, %v", names, err)
	}
}

func TestEnableForwarding(t *testing.T) {
	h := newHost(t)
	for _, s := range []string{"ipv4.ip_forward=0", "ipv6.conf.all.forwarding=0"} {
		h.run("sysctl", "-q", "-w", "net."+s)
	}
	h.run("ip", "link", "add", "eth0", "type", "bridge")
	h.run("ip", "link", "add", "quiet0", "type", "bridge")
	h.run("ip", "link", "add", "veth0", "type", "veth", "peer", "veth1")
	for _, s := range []string{"eth0.accept_ra=1", "quiet0.accept_ra=0", "veth0.accept_ra=1"} {
		h.run("sysctl", "-q", "-w", "net.ipv6.conf."+s)
	}
	for i, step := range []struct{ v6, changed bool }{{false, true}, {false, false}, {true, true}, {true, false}} {
		changed, err := h.EnableForwarding(step.v6)
		if err != nil || changed != step.changed {
			t.Errorf("step %d: %v, %v", i, changed, err)
		}
		want := "0"
		if i >= 2 {
			want = "1"
		}
		if four, six := h.sysctl("ipv4/ip_forward"), h.sysctl("ipv6/conf/all/forwarding"); four != "1" || six != want {
			t.Errorf("step %d: IPv4 %s, IPv6 %s", i, four, six)
		}
	}
	for device, want := range map[string]string{"eth0": "2", "quiet0": "0", "veth0": "1", "default": "1"} {
		if got := h.sysctl("ipv6/conf/" + device + "/accept_ra"); got != want {
			t.Errorf("accept_ra of %s is %s, want %s", device, got, want)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"berth0": true, "br-0123456789ab": true, "eth0.5": true, "": false, ".": false, "..": false, "a b": false, "a/b": false,
		"a%d": false, "a:b": false, "a\n": false, "0123456789abcdef": false, "all": false, "default": false, "é": false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	var none net.HardwareAddr
	if a, b := (&Bridge{Network: "a", MAC: none}).mac(), (&Bridge{Network: "b"}).mac(); a.String() == b.String() || a[0]&3 != 2 {
		t.Errorf("%s, %s", a, b)
	}
}
