package ipam

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func prefixes(s string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range strings.Fields(s) {
		all = append(all, prefix(p))
	}
	return all
}

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct{ used, want string }{
		"nothing in use":  {"", "172.17.0.0/24"},
		"the next":        {"172.17.0.0/24", "172.17.1.0/24"},
		"a gap":           {"172.17.0.0/24 172.17.2.0/24", "172.17.1.0/24"},
		"docker is here":  {"172.17.0.0/16", "172.18.0.0/24"},
		"a host route":    {"172.17.0.77/32", "172.17.1.0/24"},
		"a whole range":   {"172.16.0.0/12", "192.168.0.0/24"},
		"an address":      {"172.17.0.1/16", "172.18.0.0/24"},
		"IPv6 is nothing": {"fd00::/8", "172.17.0.0/24"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Choose(DefaultPools(), prefixes(c.used)); err != nil || got != prefix(c.want) {
				t.Errorf("%s: %s, %v; want %s", c.used, got, err, c.want)
			}
		})
	}
	if got, err := Choose(DefaultPools(), prefixes("172.16.0.0/12 192.168.0.0/16")); !errors.Is(err, errdefs.ErrResourceExhausted) || !strings.Contains(err.Error(), "--subnet") {
		t.Errorf("everything in use: %s, %v", got, err)
	}
	if got, err := Choose([]Base{{prefix("fd00::/8"), 64}}, prefixes("fd00::/9 fd80::/64")); err != nil || got != prefix("fd80:0:0:1::/64") {
		t.Errorf("IPv6: %s, %v", got, err)
	}
	for _, b := range []Base{{prefix("10.0.0.0/16"), 8}, {prefix("10.0.0.0/16"), 32}, {prefix("127.0.0.0/8"), 24}, {}} {
		if got, err := Choose([]Base{b}, nil); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%v: %s, %v", b, got, err)
		}
	}
}

// All subnets are handed out before there is none, and none overlaps another.
func TestChooseAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pools := []Base{{prefix("10.1.0.0/26"), 29}, {prefix("10.3.0.0/28"), 30}}
	used := prefixes("10.1.0.9/32 10.3.0.0/29")
	n := 0
	for {
		s, err := Choose(pools, used)
		if err != nil {
			break
		}
		for _, u := range used {
			if u.Overlaps(s) {
				t.Fatalf("%s overlaps %s", s, u)
			}
		}
		used = append(used, s)
		r.Shuffle(len(used), func(i, j int) { used[i], used[j] = used[j], used[i] })
		n++
	}
	if n != 7+2 {
		t.Errorf("%d subnets, want 9", n)
	}
}

func TestULA(t *testing.T) {
	a, b := ULA("a"), ULA("b")
	if a == b || a != ULA("a") || a.Bits() != 64 || !prefix("fd00::/8").Overlaps(a) || a.Masked() != a {
		t.Errorf("%s, %s", a, b)
	}
	if _, err := New(Config{Subnet: a}); err != nil {
		t.Error(err)
	}
}

func TestMAC(t *testing.T) {
	if got := MAC(addr("172.17.0.2")).String(); got != "02:42:ac:11:00:02" {
		t.Error(got)
	}
	if got := MAC(addr("::ffff:172.17.0.2")).String(); got != "02:42:ac:11:00:02" {
		t.Error(got)
	}
	a, b := MAC(addr("fd00::1")), MAC(addr("fd00::2"))
	if a.String() == b.String() || len(a) != 6 || a[0]&3 != 2 {
		t.Errorf("%s, %s", a, b)
	}
}
