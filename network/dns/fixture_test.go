package dns

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// names is a network: container names and their addresses.
type names struct {
	addrs    map[string][]netip.Addr
	internal bool

	mu      sync.Mutex
	servers []netip.AddrPort
}

// ask names the upstream servers.
func (n *names) ask(servers ...netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servers = servers
}

func (n *names) Lookup(_ netip.Addr, name string) ([]netip.Addr, bool) {
	a, ok := n.addrs[name]
	return a, ok
}

func (n *names) Reverse(_, addr netip.Addr) (string, bool) {
	for name, addrs := range n.addrs {
		for _, a := range addrs {
			if a == addr {
				return name, true
			}
		}
	}
	return "", false
}

func (n *names) Upstreams(netip.Addr) ([]netip.AddrPort, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.servers, !n.internal
}

func someNames() *names {
	many := make([]netip.Addr, 0, 100)
	for i := range 100 {
		many = append(many, netip.AddrFrom4([4]byte{172, 30, 1, byte(i)}))
	}
	return &names{addrs: map[string][]netip.Addr{
		"web":    {netip.MustParseAddr("172.30.0.2"), netip.MustParseAddr("fd00::2")},
		"db":     {netip.MustParseAddr("172.30.0.3")},
		"silent": nil,
		"many":   many,
	}}
}

// client is where the questions of the tests without sockets come from.
func client() netip.AddrPort { return netip.MustParseAddrPort("172.30.0.9:40000") }

// fixture is a server with sockets on the loopback device.
type fixture struct {
	*Server
	names *names
	addr  string
}

// serve starts a server with less patience than usual. tune changes it before.
func serve(t testing.TB, n *names, tune ...func(s *Server)) *fixture {
	t.Helper()
	s := New(Config{Names: n, ResolvConf: filepath.Join(t.TempDir(), "none")})
	s.up.total, s.up.hedge, s.up.resend, s.up.tcpTimeout = 1500*time.Millisecond, 150*time.Millisecond, 200*time.Millisecond, time.Second
	for _, f := range tune {
		f(s)
	}
	udp, tcp := sockets(t)
	stop := s.Serve(udp, tcp)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &fixture{s, n, udp.LocalAddr().String()}
}

// sockets opens a UDP and a TCP socket with the same number.
func sockets(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return udp, tcp
		}
		_ = tcp.Close() // the number is taken for UDP
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// fake is an upstream server.
type fake struct {
	addr     netip.AddrPort
	udp, tcp atomic.Int64 // questions
}

// upstreamServer starts one, whose answers say makes. nil from say: silence.
func upstreamServer(t testing.TB, say func(r *dns.Msg, tcp bool) *dns.Msg) *fake {
	t.Helper()
	return rawUpstream(t, func(w dns.ResponseWriter, r *dns.Msg, tcp bool) {
		if m := say(r, tcp); m != nil {
			_ = w.WriteMsg(m) // who asked may have gone
		}
	})
}

func rawUpstream(t testing.TB, handle func(w dns.ResponseWriter, r *dns.Msg, tcp bool)) *fake {
	t.Helper()
	udp, tcp := sockets(t)
	f := &fake{addr: udp.LocalAddr().(*net.UDPAddr).AddrPort()}
	for _, s := range []*dns.Server{{PacketConn: udp, UDPSize: 4096}, {Listener: tcp}} {
		isTCP := s.Listener != nil
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
			if isTCP {
				f.tcp.Add(1)
			} else {
				f.udp.Add(1)
			}
			handle(w, r, isTCP)
		})
		started, done := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { done <- s.ActivateAndServe() }() // joined by the cleanup
		<-started
		t.Cleanup(func() {
			_ = s.Shutdown() // it has not failed if it serves
			if err := <-done; err != nil {
				t.Errorf("upstream: %v", err)
			}
		})
	}
	return f
}

// says answers every A question with the given address.
func says(addr string) func(r *dns.Msg, tcp bool) *dns.Msg {
	return func(r *dns.Msg, _ bool) *dns.Msg { return records(r, 60, addr) }
}

// records answers with A records.
func records(r *dns.Msg, ttl uint32, addrs ...string) *dns.Msg {
	m := new(dns.Msg).SetReply(r)
	m.RecursionAvailable = true
	for _, a := range addrs {
		m.Answer = append(m.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl},
			A:   net.ParseIP(a),
		})
	}
	return m
}

func rcode(r *dns.Msg, code int) *dns.Msg { return new(dns.Msg).SetRcode(r, code) }

// silence answers nothing.
func silence(*dns.Msg, bool) *dns.Msg { return nil }

func question(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
}

// ask sends a question to the server over udp or tcp.
func (f *fixture) ask(t testing.TB, network string, m *dns.Msg) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	r, _, err := c.Exchange(m, f.addr)
	if err != nil {
		t.Fatalf("ask for %s over %s: %v", m.Question[0].Name, network, err)
	}
	return r
}

// direct asks handle, and waits for upstream if it must.
func direct(t testing.TB, s *Server, m *dns.Msg, tcp bool) *dns.Msg {
	t.Helper()
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	reply, f := s.handle(raw, client(), tcp)
	if f != nil {
		reply = s.resolve(f)
	}
	r := new(dns.Msg)
	if err := r.Unpack(reply); err != nil {
		t.Fatalf("answer %x: %v", reply, err)
	}
	return r
}

// data is what an answer says: its code and records without owner and TTL.
func data(m *dns.Msg) []string {
	out := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.AAAA:
			out = append(out, rr.AAAA.String())
		case *dns.PTR:
			out = append(out, rr.Ptr)
		case *dns.HINFO:
			out = append(out, rr.Cpu)
		default:
			out = append(out, rr.String())
		}
	}
	return out
}

func wantData(t testing.TB, m *dns.Msg, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, data(m)); diff != "" {
		t.Errorf("answer for %v (-want +got):\n%s", m.Question, diff)
	}
}

// write makes a resolv.conf.
func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
