package usermode

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"gvisor.dev/gvisor/pkg/tcpip"
)

func TestPlan(t *testing.T) {
	p, err := NewPlan([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.255.0.0/16"), netip.MustParsePrefix("10.254.2.9/32")})
	if err != nil || p.Net4.String() != "10.253.2.0/24" || p.check() != nil {
		t.Fatalf("plan %v, %v", p, err)
	}
	if got := p.arrival(netip.IPv4Unspecified(), 0); got != p.Inside()[0].Addr() {
		t.Errorf("what is for all addresses arrives at %s", got)
	}
	for _, n := range []int{1, maxArrivals} {
		for i, a := range []netip.Addr{p.arrival(netip.IPv4Unspecified(), n), p.arrival(netip.IPv6Unspecified(), n)} {
			if !p.Arrivals()[i].Contains(a) || !p.isInside(a) || p.isGateway(a) {
				t.Errorf("arrival %d is %s, not in %s", n, a, p.Arrivals()[i])
			}
		}
	}
	if _, err := NewPlan([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); err == nil {
		t.Error("a subnet that the host has was chosen")
	}
}

func TestNameServers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	text := "# nameserver 9.9.9.9\nnameserver 127.0.0.53\nnameserver x\nnameserver\nsearch a\nnameserver ::1\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := nameServers(path); len(got) != maxNameServers || got[0].String() != "127.0.0.53:53" || got[1].String() != "[::1]:53" {
		t.Errorf("name servers: %v", got)
	}
	if got := nameServers(path + "x"); len(got) != 0 {
		t.Errorf("of no file: %v", got)
	}
}

// pair are both sides, without a device between them.
func pair(t *testing.T) (*Server, *Client) {
	t.Helper()
	outside, inside, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Serve(outside, Config{Log: slog.New(slog.DiscardHandler), ByWhom: func(string, uint16) string { return " by me" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c, err := NewClient(inside)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	return s, c
}

func TestDial(t *testing.T) {
	_, c := pair(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := c.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := l.Accept()
	if err != nil || got.RemoteAddr().String() != conn.LocalAddr().String() {
		t.Errorf("connected from %v, %v, want %s", got, err, conn.LocalAddr())
	}
	_ = got.Close()
	_ = l.Close()
	if _, err := c.Dial(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := c.Dial(gone, "tcp", l.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
}

// What the inside asks for is bounded and checked, whoever it is.
func TestOpenRefuses(t *testing.T) {
	_, c := pair(t)
	if _, _, _, err := c.Open("tcp", netip.MustParseAddrPort("127.0.0.1:0")); !errdefs.IsInvalidArgument(err) {
		t.Errorf("without a device: %v", err)
	}
	for range maxArrivals {
		if _, err := c.place(netip.AddrFrom4([4]byte{1, 2, 3, byte(len(c.arrivals))})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.place(netip.MustParseAddr("9.9.9.9")); err == nil && len(c.arrivals) > maxArrivals {
		t.Error("more addresses than there are places")
	}
}

// Hostile messages end nothing but themselves.
func TestHostileMessages(t *testing.T) {
	_, c := pair(t)
	for _, data := range []string{"{", "[]", `{"Verb":"open"}`, strings.Repeat("x", 100)} {
		if _, err := c.conn.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	conn, err := c.Dial(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("after messages that make no sense: %v", err)
	}
	_ = conn.Close()
}

func FuzzAccepts(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	f.Add(bytes.Repeat([]byte{0x60}, 40))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) == 0 {
			return
		}
		plan := Plan{netip.MustParsePrefix("10.255.2.0/24"), netip.MustParsePrefix("fd62::/64")}
		l := newLink(nil, func(a tcpip.Address) bool { return plan.isGateway(addrOf(a)) })
		if _, ok := l.accepts(packet); ok && len(packet) < 20 {
			t.Errorf("%x is taken for a packet", packet)
		}
	})
}
