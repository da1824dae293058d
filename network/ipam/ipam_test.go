package ipam

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func prefix(s string) netip.Prefix {
	if s == "" {
		return netip.Prefix{}
	}
	return netip.MustParsePrefix(s)
}

func TestNew(t *testing.T) {
	for name, c := range map[string]struct {
		subnet, rng, gateway, taken string
		wantGateway, wantResolver   string
		first                       string
	}{
		"plain":            {"172.17.0.0/24", "", "", "", "172.17.0.1", "172.17.0.254", "172.17.0.2"},
		"gateway last":     {"10.0.0.0/24", "", "10.0.0.254", "", "10.0.0.254", "10.0.0.253", "10.0.0.1"},
		"range":            {"10.0.0.0/16", "10.0.5.0/24", "", "", "10.0.0.1", "10.0.255.254", "10.0.5.0"},
		"range at front":   {"10.0.0.0/16", "10.0.0.0/24", "", "", "10.0.0.1", "10.0.255.254", "10.0.0.2"},
		"auxiliary":        {"10.0.0.0/24", "", "", "10.0.0.1 10.0.0.3 10.0.0.254", "10.0.0.2", "10.0.0.253", "10.0.0.4"},
		"29":               {"10.0.0.0/29", "", "", "", "10.0.0.1", "10.0.0.6", "10.0.0.2"},
		"30: no resolver":  {"10.0.0.0/30", "", "", "", "10.0.0.1", "", "10.0.0.2"},
		"31: no resolver":  {"10.0.0.0/31", "", "", "", "10.0.0.0", "", "10.0.0.1"},
		"IPv6":             {"fd00:1::/64", "", "", "", "fd00:1::1", "fd00:1::ffff:ffff:ffff:ffff", "fd00:1::2"},
		"IPv6 126":         {"fd00:1::/126", "", "", "", "fd00:1::1", "fd00:1::3", "fd00:1::2"},
		"IPv6 127":         {"fd00:1::/127", "", "", "", "fd00:1::", "", "fd00:1::1"},
		"public addresses": {"198.51.100.0/24", "", "", "", "198.51.100.1", "198.51.100.254", "198.51.100.2"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Subnet: prefix(c.subnet), Range: prefix(c.rng), Gateway: addr(c.gateway)}
			for _, a := range strings.Fields(c.taken) {
				cfg.Taken = append(cfg.Taken, addr(a))
			}
			p, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Take(netip.Addr{})
			if p.Gateway() != addr(c.wantGateway) || p.Resolver() != addr(c.wantResolver) || got != addr(c.first) || err != nil {
				t.Errorf("gateway %s, resolver %s, first %s, %v; want %+v", p.Gateway(), p.Resolver(), got, err, c)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct{ subnet, rng, gateway, taken, want string }{
		"nothing":             {"", "", "", "", "ADDRESS/BITS"},
		"not masked":          {"10.0.0.5/24", "", "", "", "did you mean 10.0.0.0/24"},
		"IPv6 not masked":     {"fd00::5/64", "", "", "", "did you mean fd00::/64"},
		"one address":         {"10.0.0.1/32", "", "", "", "too small"},
		"one IPv6 address":    {"fd00::1/128", "", "", "", "too small"},
		"loopback":            {"127.1.0.0/16", "", "", "", "loopback"},
		"everything":          {"0.0.0.0/0", "", "", "", "overlaps"},
		"multicast":           {"239.0.0.0/24", "", "", "", "multicast"},
		"link-local":          {"169.254.0.0/24", "", "", "", "link-local"},
		"IPv6 link-local":     {"fe80::/64", "", "", "", "link-local"},
		"IPv6 multicast":      {"ff02::/64", "", "", "", "multicast"},
		"mapped":              {"::ffff:10.0.0.0/120", "", "", "", "IPv4-mapped"},
		"gateway outside":     {"10.0.0.0/24", "", "10.0.1.1", "", "gateway 10.0.1.1 is not in"},
		"gateway of 6":        {"10.0.0.0/24", "", "fd00::1", "", "is not in"},
		"gateway is network":  {"10.0.0.0/24", "", "10.0.0.0", "", "network or broadcast"},
		"gateway broadcast":   {"10.0.0.0/24", "", "10.0.0.255", "", "network or broadcast"},
		"gateway auxiliary":   {"10.0.0.0/24", "", "10.0.0.9", "10.0.0.9", "auxiliary"},
		"range outside":       {"10.0.0.0/24", "10.0.1.0/25", "", "", "is not in the subnet"},
		"range larger":        {"10.0.0.0/24", "10.0.0.0/23", "", "", "is not in the subnet"},
		"range not masked":    {"10.0.0.0/24", "10.0.0.5/25", "", "", "did you mean 10.0.0.0/25"},
		"range of gateway":    {"10.0.0.0/24", "10.0.0.1/32", "", "", "too small"},
		"auxiliary outside":   {"10.0.0.0/24", "", "", "10.0.1.1", "auxiliary address 10.0.1.1"},
		"auxiliary is all":    {"10.0.0.0/30", "", "", "10.0.0.1 10.0.0.2", "too small"},
		"auxiliary but one":   {"10.0.0.0/30", "", "", "10.0.0.2", "too small"},
		"range is broadcast":  {"10.0.0.0/24", "10.0.0.255/32", "", "", "too small"},
		"zone in a gateway":   {"fe00::/64", "", "fe00::1%eth0", "", "is not in"},
		"auxiliary of family": {"10.0.0.0/24", "", "", "fd00::1", "is not in"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Subnet: prefix(c.subnet), Range: prefix(c.rng), Gateway: addr(c.gateway)}
			for _, a := range strings.Fields(c.taken) {
				cfg.Taken = append(cfg.Taken, addr(a))
			}
			if _, err := New(cfg); !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want %q", cfg, err, c.want)
			}
		})
	}
}

func TestTake(t *testing.T) {
	p, err := New(Config{Subnet: prefix("10.0.0.0/29")}) // .1 gateway, .6 resolver
	if err != nil {
		t.Fatal(err)
	}
	take := func(want string) string {
		a, err := p.Take(addr(want))
		switch {
		case errors.Is(err, errdefs.ErrConflict):
			return "conflict"
		case errors.Is(err, errdefs.ErrInvalidArgument):
			return "invalid"
		case errors.Is(err, errdefs.ErrResourceExhausted):
			return "exhausted"
		case err != nil:
			return err.Error()
		}
		return a.String()
	}
	for i, s := range []struct{ release, want, got string }{
		{"", "", "10.0.0.2"},
		{"", "10.0.0.2", "conflict"},
		{"", "10.0.0.1", "invalid"},
		{"", "10.0.0.6", "invalid"},
		{"", "10.0.0.0", "invalid"},
		{"", "10.0.0.7", "invalid"},
		{"", "10.0.0.8", "invalid"},
		{"", "fd00::1", "invalid"},
		{"", "10.0.0.4", "10.0.0.4"},
		{"10.0.0.2", "", "10.0.0.3"}, // not the one that was just given back
		{"", "", "10.0.0.5"},
		{"", "", "10.0.0.2"},
		{"", "", "exhausted"},
		{"10.0.0.4", "", "10.0.0.4"},
	} {
		if s.release != "" {
			p.Release(addr(s.release))
		}
		if got := take(s.want); got != s.got {
			t.Errorf("step %d: Take(%q) is %s, want %s", i, s.want, got, s.got)
		}
	}
	p.Release(addr("10.0.0.99")) // nobody's
	if p.InUse() != 4 {
		t.Errorf("%d in use, want 4", p.InUse())
	}
}

// An address outside of the range can be had by name only.
func TestTakeOutsideOfRange(t *testing.T) {
	p, err := New(Config{Subnet: prefix("10.0.0.0/24"), Range: prefix("10.0.0.8/30")})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := p.Take(addr("10.0.0.77")); err != nil || a != addr("10.0.0.77") {
		t.Errorf("by name: %s, %v", a, err)
	}
	for range 4 {
		if a, err := p.Take(netip.Addr{}); err != nil || !prefix("10.0.0.8/30").Contains(a) {
			t.Errorf("any: %s, %v", a, err)
		}
	}
	if a, err := p.Take(netip.Addr{}); !errors.Is(err, errdefs.ErrResourceExhausted) {
		t.Errorf("fifth: %s, %v", a, err)
	}
}

// A full pool is every usable address once, whatever was taken and released before.
func TestPoolProperty(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		bits := 24 + r.IntN(7)
		p, err := New(Config{Subnet: netip.PrefixFrom(addr("10.9.8.0"), bits)})
		if err != nil {
			t.Fatal(err)
		}
		held := map[netip.Addr]bool{}
		for range 300 {
			if r.IntN(3) == 0 {
				for a := range held { // any
					p.Release(a)
					delete(held, a)
					break
				}
				continue
			}
			a, err := p.Take(netip.Addr{})
			if err != nil {
				if !errors.Is(err, errdefs.ErrResourceExhausted) {
					t.Fatal(err)
				}
				continue
			}
			if held[a] || a == p.Gateway() || a == p.Resolver() || !p.Subnet().Contains(a) {
				t.Fatalf("seed %d: %s handed out", seed, a)
			}
			held[a] = true
		}
		if p.InUse() != len(held) {
			t.Fatalf("seed %d: %d in use, %d held", seed, p.InUse(), len(held))
		}
		for a, err := p.Take(netip.Addr{}); err == nil; a, err = p.Take(netip.Addr{}) {
			held[a] = true
		}
		want := 1<<(32-bits) - 3
		if p.Resolver().IsValid() {
			want--
		}
		if len(held) != want {
			t.Fatalf("seed %d: /%d has %d addresses, want %d", seed, bits, len(held), want)
		}
	}
}

func TestLargePoolIsCheap(t *testing.T) {
	for _, s := range []string{"10.0.0.0/8", "fd00::/8"} {
		if n := testing.AllocsPerRun(10, func() {
			p, err := New(Config{Subnet: prefix(s)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Take(netip.Addr{}); err != nil {
				t.Fatal(err)
			}
		}); n > 200 {
			t.Errorf("%s: %v allocations", s, n)
		}
	}
}

func FuzzNew(f *testing.F) {
	f.Add("10.0.0.0/24", "10.0.0.128/25", "10.0.0.1", "10.0.0.2")
	f.Add("fd00::/64", "", "", "")
	f.Add("10.0.0.0/31", "10.0.0.1/32", "10.0.0.0", "")
	f.Fuzz(func(t *testing.T, subnet, rng, gateway, aux string) {
		var c Config
		var err error
		if c.Subnet, err = netip.ParsePrefix(subnet); err != nil {
			return
		}
		c.Range, _ = netip.ParsePrefix(rng)
		c.Gateway, _ = netip.ParseAddr(gateway)
		if a, err := netip.ParseAddr(aux); err == nil {
			c.Taken = []netip.Addr{a}
		}
		p, err := New(c)
		if err != nil {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Fatalf("class of %v", err)
			}
			return
		}
		a, err := p.Take(netip.Addr{})
		if err != nil {
			t.Fatalf("a new pool is empty: %v", err)
		}
		if !c.Subnet.Contains(a) || a == p.Gateway() || a == p.Resolver() || slices.Contains(c.Taken, a) ||
			c.Range.IsValid() && !c.Range.Contains(a) || !c.Subnet.Contains(p.Gateway()) {
			t.Fatalf("%+v: %s", c, a)
		}
	})
}

// In a subnet that others hand out too the name server's address is in the range, and
// what is reserved later is not given.
func TestShared(t *testing.T) {
	p, err := New(Config{Subnet: netip.MustParsePrefix("10.1.2.0/24"), Range: netip.MustParsePrefix("10.1.2.64/29"), Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Resolver().String(); got != "10.1.2.71" {
		t.Errorf("name server %s", got)
	}
	p.Reserve(netip.MustParseAddr("10.1.2.64"), "the host's")
	p.Reserve(netip.MustParseAddr("192.0.2.1"), "of another subnet")
	if a, err := p.Take(netip.Addr{}); err != nil || a.String() != "10.1.2.65" {
		t.Errorf("first address %s, %v", a, err)
	}
	if _, err := p.Take(netip.MustParseAddr("10.1.2.64")); err == nil {
		t.Error("a reserved address was given")
	}
	one, err := New(Config{Subnet: netip.MustParsePrefix("10.1.2.0/24"), Range: netip.MustParsePrefix("10.1.2.64/32"), Shared: true})
	if err != nil || one.Resolver().IsValid() {
		t.Errorf("a range of one address: name server %v, %v", one, err)
	}
}
