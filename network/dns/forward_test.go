package dns

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func failing(r *dns.Msg, _ bool) *dns.Msg { return rcode(r, dns.RcodeServerFailure) }

// closedPort is an address where nobody listens.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestUpstreamsBehaviour(t *testing.T) {
	good, other := upstreamServer(t, says("1.2.3.4")), upstreamServer(t, says("5.6.7.8"))
	servfail, silent := upstreamServer(t, failing), upstreamServer(t, silence)
	nobody := upstreamServer(t, func(r *dns.Msg, _ bool) *dns.Msg { return rcode(r, dns.RcodeNameError) })
	refused := rawUpstream(t, func(w dns.ResponseWriter, r *dns.Msg, _ bool) { // a header alone
		_, _ = w.Write([]byte{byte(r.Id >> 8), byte(r.Id), 0x80, dns.RcodeRefused, 0, 0, 0, 0, 0, 0, 0, 0})
	})
	slow := upstreamServer(t, func(r *dns.Msg, _ bool) *dns.Msg {
		<-time.After(400 * time.Millisecond)
		return records(r, 60, "4.4.4.4")
	})
	lost := new(sync.Map)
	loses := upstreamServer(t, func(r *dns.Msg, _ bool) *dns.Msg { // every first packet
		if _, again := lost.LoadOrStore(r.Id, true); !again {
			return nil
		}
		return records(r, 60, "3.3.3.3")
	})
	tests := []struct {
		name    string
		servers []netip.AddrPort
		want    []string
		most    time.Duration
	}{
		{"one", []netip.AddrPort{good.addr}, []string{"NOERROR", "1.2.3.4"}, 0},
		{"the first counts", []netip.AddrPort{other.addr, good.addr}, []string{"NOERROR", "5.6.7.8"}, 0},
		{"a failure does not harm", []netip.AddrPort{servfail.addr, good.addr}, []string{"NOERROR", "1.2.3.4"}, 0},
		{"a refusal does not harm", []netip.AddrPort{refused.addr, good.addr}, []string{"NOERROR", "1.2.3.4"}, 0},
		{"nobody listens", []netip.AddrPort{closedPort(t), good.addr}, []string{"NOERROR", "1.2.3.4"}, 0},
		{"silence does not harm", []netip.AddrPort{silent.addr, good.addr}, []string{"NOERROR", "1.2.3.4"}, time.Second},
		{"a packet is lost", []netip.AddrPort{loses.addr}, []string{"NOERROR", "3.3.3.3"}, time.Second},
		{"slow", []netip.AddrPort{slow.addr}, []string{"NOERROR", "4.4.4.4"}, time.Second},
		{"no such name is an answer", []netip.AddrPort{nobody.addr, good.addr}, []string{"NXDOMAIN"}, 0},
		{"only failures", []netip.AddrPort{servfail.addr, closedPort(t), silent.addr}, []string{"SERVFAIL"}, 3 * time.Second},
		{"only a refusal", []netip.AddrPort{refused.addr}, []string{"REFUSED"}, 0},
		{"only silence", []netip.AddrPort{silent.addr}, []string{"SERVFAIL"}, 3 * time.Second},
		{"only nobody", []netip.AddrPort{closedPort(t)}, []string{"SERVFAIL"}, 0},
		{"none", nil, []string{"SERVFAIL"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := someNames()
			n.ask(tt.servers...)
			f := serve(t, n)
			wantData(t, f.ask(t, "udp", question("www.example.com", dns.TypeA)), tt.want...)
			wantData(t, f.ask(t, "udp", question("web", dns.TypeA)), "NOERROR", "172.30.0.2")
		})
	}
}

func TestKnownNamesAreNotAskedElsewhere(t *testing.T) {
	up := upstreamServer(t, says("1.2.3.4"))
	n := someNames()
	n.ask(up.addr)
	f := serve(t, n)
	for _, q := range []*dns.Msg{
		question("web", dns.TypeA), question("db", dns.TypeAAAA), question("silent", dns.TypeA), question("web", dns.TypeANY),
		question("web", dns.TypeMX), question("2.0.30.172.in-addr.arpa", dns.TypePTR), question("2.0.30.172.in-addr.arpa", dns.TypeNS),
	} {
		f.ask(t, "udp", q)
	}
	if up.udp.Load()+up.tcp.Load() != 0 {
		t.Error("a name of the networks was asked for elsewhere")
	}
	f.ask(t, "udp", question("unknown", dns.TypeA)) // one label
	f.ask(t, "udp", question("9.0.30.172.in-addr.arpa", dns.TypePTR))
	if got := up.udp.Load(); got != 2 {
		t.Errorf("%d questions to the upstream server, want 2", got)
	}
}

func TestLiesAreIgnored(t *testing.T) {
	up := rawUpstream(t, func(w dns.ResponseWriter, r *dns.Msg, _ bool) {
		lies := []func(m *dns.Msg){
			func(m *dns.Msg) { m.Id++ },
			func(m *dns.Msg) { m.Question[0].Name = "other.example." },
			func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA },
			func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
			func(m *dns.Msg) { m.Response = false },
			func(m *dns.Msg) { m.Question = nil },
		}
		for _, lie := range lies {
			m := records(r, 60, "6.6.6.6")
			lie(m)
			_ = w.WriteMsg(m)
		}
		_, _ = w.Write([]byte{byte(r.Id >> 8), byte(r.Id), 0x81, 0x80, 0, 9, 9, 9, 9, 9, 9, 9, 7})
		_ = w.WriteMsg(records(r, 60, "1.2.3.4"))
	})
	n := someNames()
	n.ask(up.addr)
	f := serve(t, n)
	wantData(t, f.ask(t, "udp", question("www.example.com", dns.TypeA)), "NOERROR", "1.2.3.4")
}

func TestIdsAndPortsAreRandom(t *testing.T) {
	ids, ports := map[uint16]bool{}, map[string]bool{}
	var mu sync.Mutex
	up := rawUpstream(t, func(w dns.ResponseWriter, r *dns.Msg, _ bool) {
		mu.Lock()
		defer mu.Unlock()
		ids[r.Id] = true
		ports[w.RemoteAddr().String()] = true
		_ = w.WriteMsg(records(r, 60, "1.2.3.4"))
	})
	n := someNames()
	n.ask(up.addr)
	f := serve(t, n)
	for i := range 50 {
		q := question(fmt.Sprintf("n%d.example.com", i), dns.TypeA)
		q.Id = 7
		f.ask(t, "udp", q)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ids) < 45 || len(ports) < 45 {
		t.Errorf("%d ids and %d ports for 50 questions", len(ids), len(ports))
	}
}

// large answers with more than UDP takes: cut, over UDP.
func large(r *dns.Msg, tcp bool) *dns.Msg {
	m := records(r, 60)
	for i := range 500 {
		m.Answer = append(m.Answer, records(r, 60, fmt.Sprintf("10.0.%d.%d", i/250, i%250)).Answer...)
	}
	if !tcp {
		m.Truncate(512)
	}
	return m
}

func TestLargeAnswers(t *testing.T) {
	up := upstreamServer(t, large)
	n := someNames()
	n.ask(up.addr)
	f := serve(t, n)
	r := f.ask(t, "udp", question("www.example.com", dns.TypeA))
	r.Compress = true // as it came
	if !r.Truncated || r.Len() > 512 {
		t.Errorf("over UDP: truncated %v, %d bytes", r.Truncated, r.Len())
	}
	r = f.ask(t, "tcp", question("www.example.com", dns.TypeA))
	if r.Truncated || len(r.Answer) != 500 {
		t.Errorf("over TCP: truncated %v, %d records", r.Truncated, len(r.Answer))
	}
	m := question("www.example.com", dns.TypeA)
	m.SetEdns0(4096, false)
	r = f.ask(t, "udp", m)
	if opt := r.IsEdns0(); !r.Truncated || opt == nil || len(r.Answer) < 40 {
		t.Errorf("over UDP with EDNS: truncated %v, %v, %d records", r.Truncated, opt, len(r.Answer))
	}
	if udp, tcp := up.udp.Load(), up.tcp.Load(); udp != 1 || tcp != 1 {
		t.Errorf("%d questions over UDP and %d over TCP for three of a client, want one each", udp, tcp)
	}
}

func TestTruncatedWithoutTCP(t *testing.T) {
	up := upstreamServer(t, func(r *dns.Msg, tcp bool) *dns.Msg {
		if tcp {
			return failing(r, true)
		}
		return large(r, false)
	})
	n := someNames()
	n.ask(up.addr)
	f := serve(t, n)
	for range 2 { // it is not kept
		if r := f.ask(t, "udp", question("www.example.com", dns.TypeA)); !r.Truncated || len(r.Answer) == 0 {
			t.Errorf("truncated %v, %d records; want what the server said", r.Truncated, len(r.Answer))
		}
	}
	if up.udp.Load() != 2 {
		t.Errorf("%d questions, want 2", up.udp.Load())
	}
}

func TestAnswersAreKeptAndShared(t *testing.T) {
	release := make(chan struct{})
	up := upstreamServer(t, func(r *dns.Msg, _ bool) *dns.Msg {
		<-release
		return records(r, 60, "1.2.3.4")
	})
	n := someNames()
	n.ask(up.addr)
	f := serve(t, n, func(s *Server) { s.up.resend = s.up.total })
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			name := []byte("www.example.com")
			name[i%3] -= 'a' - 'A' // each sees its own case again
			q := question(string(name), dns.TypeA)
			r := f.ask(t, "udp", q)
			wantData(t, r, "NOERROR", "1.2.3.4")
			if r.Question[0] != q.Question[0] || r.Answer[0].Header().Name != q.Question[0].Name {
				t.Errorf("answer about %q, want %q", r.Answer[0].Header().Name, q.Question[0].Name)
			}
		})
	}
	waitFor(t, "all questions wait", func() bool {
		f.pending.mu.Lock()
		defer f.pending.mu.Unlock()
		return f.pending.total == 100
	})
	close(release)
	wg.Wait()
	f.ask(t, "tcp", question("www.example.com", dns.TypeA))
	if got := up.udp.Load(); got != 1 {
		t.Errorf("%d questions to the upstream server, want 1", got)
	}
	for i, change := range []func(q *dns.Msg){ // what has another answer
		func(q *dns.Msg) { q.Question[0].Qtype = dns.TypeTXT },
		func(q *dns.Msg) { q.RecursionDesired = false },
		func(q *dns.Msg) { q.CheckingDisabled = true },
		func(q *dns.Msg) { q.SetEdns0(1232, true) },
	} {
		q := question("www.example.com", dns.TypeA)
		change(q)
		f.ask(t, "udp", q)
		if got := up.udp.Load(); got != int64(i+2) {
			t.Errorf("%d questions to the upstream server, want %d", got, i+2)
		}
	}
}

func TestLimitsOfPending(t *testing.T) {
	release := make(chan struct{})
	up := upstreamServer(t, func(r *dns.Msg, _ bool) *dns.Msg {
		<-release
		return records(r, 60, "1.2.3.4")
	})
	n := someNames()
	n.ask(up.addr)
	f := serve(t, n, func(s *Server) { s.pending.perClient = 3 })
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			wantData(t, f.ask(t, "udp", question(fmt.Sprintf("n%d.example.com", i), dns.TypeA)), "NOERROR", "1.2.3.4")
		})
	}
	waitFor(t, "three wait", func() bool {
		f.pending.mu.Lock()
		defer f.pending.mu.Unlock()
		return f.pending.total == 3
	})
	wantData(t, f.ask(t, "udp", question("n4.example.com", dns.TypeA)), "SERVFAIL")
	wantData(t, f.ask(t, "udp", question("web", dns.TypeA)), "NOERROR", "172.30.0.2")
	close(release)
	wg.Wait()
	wantData(t, f.ask(t, "udp", question("n4.example.com", dns.TypeA)), "NOERROR", "1.2.3.4")
}

// TestLoops has the server as its own upstream, directly, through another that
// passes packets on as they are, and through one that asks anew.
func TestLoops(t *testing.T) {
	t.Run("itself", func(t *testing.T) {
		f := serve(t, someNames())
		f.names.ask(netip.MustParseAddrPort(f.addr))
		wantData(t, f.ask(t, "udp", question("www.example.com", dns.TypeA)), "SERVFAIL")
	})
	t.Run("two of its sockets", func(t *testing.T) {
		f := serve(t, someNames())
		udp, tcp := sockets(t)
		other := serveMore(t, f, udp, tcp)
		f.names.ask(other)
		wantData(t, f.ask(t, "udp", question("www.example.com", dns.TypeA)), "SERVFAIL")
	})
	t.Run("known by its sockets", func(t *testing.T) {
		f := serve(t, someNames())
		here := netip.MustParseAddrPort(f.addr)
		f.mu.Lock()
		for v := range f.services {
			v.addr = netip.AddrPort{} // as if it were behind another address
		}
		f.mu.Unlock()
		f.names.ask(here)
		wantData(t, f.ask(t, "udp", question("www.example.com", dns.TypeA)), "REFUSED")
	})
	t.Run("through another server", func(t *testing.T) {
		f := serve(t, someNames(), func(s *Server) { s.up.total = 700 * time.Millisecond })
		up := upstreamServer(t, func(r *dns.Msg, _ bool) *dns.Msg {
			c := dns.Client{Timeout: 3 * time.Second}
			m, _, err := c.Exchange(question(r.Question[0].Name, r.Question[0].Qtype), f.addr)
			if err != nil {
				return nil
			}
			m.Id = r.Id
			return m
		})
		f.names.ask(up.addr)
		wantData(t, f.ask(t, "udp", question("www.example.com", dns.TypeA)), "SERVFAIL")
		if got := up.udp.Load(); got > 2 {
			t.Errorf("%d questions went round, want only those asked again", got)
		}
	})
}

func serveMore(t *testing.T, f *fixture, udp net.PacketConn, tcp net.Listener) netip.AddrPort {
	t.Helper()
	stop := f.Serve(udp, tcp)
	t.Cleanup(func() { _ = stop() })
	return udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestSilentServersAreAskedLast(t *testing.T) {
	silent, good := upstreamServer(t, silence), upstreamServer(t, says("1.2.3.4"))
	n := someNames()
	n.ask(silent.addr, good.addr)
	f := serve(t, n)
	for i := range 2 {
		f.ask(t, "udp", question(fmt.Sprintf("n%d.example.com", i), dns.TypeA))
	}
	if got := f.up.order(n.servers, false); !slices.Equal(got, []netip.AddrPort{good.addr, silent.addr}) {
		t.Fatalf("order %v after two misses of %v", got, silent.addr)
	}
	f.up.avoid = 0
	if got := f.up.order(append(n.servers, silent.addr), false); !slices.Equal(got, n.servers) {
		t.Errorf("order %v some time later, want as given and each once", got)
	}
}

func TestHostsResolvConf(t *testing.T) {
	// Without privileges nothing listens at port 53: what is seen is whom it asks.
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, "nameserver 127.0.0.1\nnameserver fe80::1%lo\noptions attempts:3 no-tld-query\n")
	s := New(Config{Names: someNames(), ResolvConf: path})
	defer func() { _ = s.Close() }()
	raw, err := question("www.Example.com", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	_, f := s.handle(raw, client(), false)
	if f == nil || len(f.servers) != 2 || f.servers[1].String() != "[fe80::1%lo]:53" || f.ask.attempts != 3 || f.ask.name != "www.example.com." {
		t.Errorf("asks %+v", f)
	}
	wantData(t, direct(t, s, question("single", dns.TypeA), false), "NXDOMAIN")
}

func TestKeyTellsQuestionsApart(t *testing.T) {
	a, b := netip.MustParseAddrPort("1.1.1.1:53"), netip.MustParseAddrPort("[2::2%eth0]:53")
	keys := map[string]bool{}
	for _, servers := range [][]netip.AddrPort{{a}, {b}, {a, b}, {b, a}} {
		for _, generation := range []int{-1, 0, 1} {
			for _, q := range []*ask{
				{name: "x."},
				{name: "y."},
				{name: "x.", qtype: 1},
				{name: "x.", rd: true},
				{name: "x.", cd: true},
				{name: "x.", ad: true},
				{name: "x.", do: true},
				{name: strings.Repeat("x.", 100)},
			} {
				keys[key(q, servers, generation)] = true
			}
		}
	}
	if want := 4 * 3 * 8; len(keys) != want {
		t.Errorf("%d keys, want %d", len(keys), want)
	}
	if key(&ask{name: "x."}, nil, 0) != key(&ask{name: "x.", edns: true, attempts: 3}, nil, 0) {
		t.Error("EDNS alone makes another question")
	}
}

// waitFor polls with a deadline.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		case <-tick.C:
		}
	}
}
