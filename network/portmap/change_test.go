package portmap

import (
	"net/netip"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/network"
)

func TestWithout(t *testing.T) {
	p80, p81 := network.MustParsePort("80/tcp"), network.MustParsePort("81/tcp")
	led := func(inside, host uint16) Port {
		return Port{Protocol: network.TCP, Inside: inside, Host: netip.AddrPortFrom(any4, host)}
	}
	several := network.PortMap{p80: {{HostPort: "8080"}, {}, {HostPort: "9000-9010"}}}
	have := []Port{led(80, 40000), led(80, 8080), led(80, 9000)}
	for name, c := range map[string]struct {
		bindings network.PortMap
		exposed  network.PortSet
		all      bool
		have     []Port
		host     string
		inside   uint16
		ip       string
		want     network.PortMap // nil: an error
		wantAll  bool
	}{
		"exact":           {bindings: several, have: have, host: "8080", want: network.PortMap{p80: {{}, {HostPort: "9000-9010"}}}},
		"random":          {bindings: several, have: have, host: "40000", want: network.PortMap{p80: {{HostPort: "8080"}, {HostPort: "9000-9010"}}}},
		"of a range":      {bindings: several, have: have, host: "9000", want: network.PortMap{p80: {{HostPort: "8080"}, {}}}},
		"stopped, range":  {bindings: several, host: "9000-9010", want: network.PortMap{p80: {{HostPort: "8080"}, {}}}},
		"stopped, random": {bindings: several, host: "40000"},
		"part of a range": {bindings: several, host: "9000-9005"},
		"all of a port":   {bindings: several, inside: 80, want: network.PortMap{}},
		"other address":   {bindings: several, have: have, host: "8080", ip: "127.0.0.1"},
		"one of all": {
			exposed: network.PortSet{p80: {}, p81: {}}, all: true, have: []Port{led(80, 1), led(81, 2)}, host: "2",
			want: network.PortMap{p80: {{}}},
		},
		"beside all": {
			bindings: network.PortMap{p80: {{HostPort: "8080"}, {HostPort: "8081"}}}, exposed: network.PortSet{p81: {}}, all: true,
			host: "8080", want: network.PortMap{p80: {{HostPort: "8081"}}}, wantAll: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var ip netip.Addr
			if c.ip != "" {
				ip = netip.MustParseAddr(c.ip)
			}
			m, err := NewMatch(ip, c.host, c.inside, "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := Without(c.bindings, c.exposed, c.all, c.have, []Match{m})
			if c.want == nil {
				if !errdefs.IsInvalidArgument(err) {
					t.Errorf("got %v, %v; want an error", got, err)
				}
				return
			}
			if diff := cmp.Diff(c.want, got.Bindings, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil || got.All != c.wantAll {
				t.Error(err, got.All, diff)
			}
		})
	}
	for _, bad := range []struct {
		host   string
		inside uint16
		proto  network.IPProtocol
	}{{"", 0, ""}, {"80", 80, ""}, {"x", 0, ""}, {"0", 0, ""}, {"80", 0, "icmp"}} {
		if _, err := NewMatch(netip.Addr{}, bad.host, bad.inside, bad.proto); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// Agree changes all or nothing, and keeps what is wanted.
func TestAgree(t *testing.T) {
	table := NewTable(nil)
	v4 := []netip.Addr{any4}
	free := func() Want { return Want{Protocol: network.TCP, Inside: 80} }
	have, err := table.Reserve("web", []Want{free(), free()}, v4)
	if err != nil {
		t.Fatal(err)
	}
	n := have[0].Host.Port()
	exact := Want{Protocol: network.TCP, Inside: 81, First: n, Last: n}
	taken, err := table.Reserve("other", []Want{free()}, v4)
	if err != nil {
		t.Fatal(err)
	}
	busy := Want{Protocol: network.TCP, Inside: 1, First: taken[0].Host.Port(), Last: taken[0].Host.Port()}
	// The first port goes to another one of the container, but not if the rest fails.
	if _, err := table.Agree("web", have, have[:1], []Want{free(), exact, busy}, v4); !errdefs.IsConflict(err) {
		t.Errorf("with a port that is taken: %v", err)
	}
	now, err := table.Agree("web", have, have[:1], []Want{free(), exact}, v4)
	if err != nil || len(now) != 2 || now[0].Host != have[1].Host || now[1].Host != have[0].Host || now[1].Inside != 81 {
		t.Errorf("got %v, %v of %v", now, err, have)
	}
	if left := Minus(have, now); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	// With IPv6 the socket of [::1] makes place for that of [::], and comes back without it.
	six, err := table.Follow("web", now, []Want{free(), exact}, []netip.Addr{any4, any6})
	if err != nil || len(six) != 4 || six[0].Loopback {
		t.Errorf("with IPv6: %v, %v", six, err)
	}
	four, err := table.Follow("web", six, []Want{free(), exact}, v4)
	if err != nil || len(four) != 2 || four[0].Host != now[0].Host || !four[0].Loopback {
		t.Errorf("without IPv6: %v, %v", four, err)
	}
	table.Release(four)
	table.Release(taken)
	if len(table.holds) != 0 {
		t.Errorf("left: %v", table.holds)
	}
}
