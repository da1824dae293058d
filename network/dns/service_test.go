package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func packed(t testing.TB, id uint16, name string, qtype uint16) []byte {
	t.Helper()
	m := question(name, qtype)
	m.Id = id
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func dialTCP(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// TestPipeline sends many questions at once on one connection, then closes its
// side: the slow one does not hold up the others, and all are answered.
func TestPipeline(t *testing.T) {
	release := make(chan struct{})
	up := upstreamServer(t, func(r *dns.Msg, _ bool) *dns.Msg {
		<-release
		return records(r, 60, "1.2.3.4")
	})
	n := someNames()
	n.ask(up.addr)
	f := serve(t, n)
	c := dialTCP(t, f.addr)
	const questions = 200
	var all []byte
	for i := range uint16(questions) {
		name := "web"
		if i == 0 {
			name = "www.example.com"
		}
		all = append(all, framed(packed(t, i, name, dns.TypeA))...)
	}
	for len(all) > 0 { // cut anywhere
		k := min(len(all), 37)
		if _, err := c.Write(all[:k]); err != nil {
			t.Fatal(err)
		}
		all = all[k:]
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for i := range questions {
		if i == questions-1 {
			close(release)
		}
		raw, err := readFramed(c, dns.MaxMsgSize)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if id := int(binary.BigEndian.Uint16(raw)); id != (i+1)%questions {
			t.Fatalf("answer %d is for question %d", i, id)
		}
	}
	if _, err := readFramed(c, 1); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v, want the end", err)
	}
}

func TestTCPLimits(t *testing.T) {
	f := serve(t, someNames(), func(s *Server) { s.conns.perClient = 2 })
	ask := func(c net.Conn) error {
		if _, err := c.Write(framed(packed(t, 1, "web", dns.TypeA))); err != nil {
			return err
		}
		_, err := readFramed(c, dns.MaxMsgSize)
		return err
	}
	first, second := dialTCP(t, f.addr), dialTCP(t, f.addr)
	for _, c := range []net.Conn{first, second, first} {
		if err := ask(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(dialTCP(t, f.addr)); err == nil {
		t.Error("a third connection is served, two are allowed")
	}
	if _, err := second.Write([]byte{0xff, 0xff}); err != nil { // too long to be a question
		t.Fatal(err)
	}
	if _, err := readFramed(second, 1); err == nil {
		t.Error("a question of 65535 bytes is waited for")
	}
	waitFor(t, "the closed connection is not counted", func() bool { return ask(dialTCP(t, f.addr)) == nil })
}

// TestCloseJoins stops servers in the middle of work and looks at what runs.
func TestCloseJoins(t *testing.T) {
	up := upstreamServer(t, silence)
	n := someNames()
	n.ask(up.addr)
	s := New(Config{Names: n, ResolvConf: "/nonexistent"})
	var stops []func() error
	for range 3 {
		udp, tcp := sockets(t)
		stops = append(stops, s.Serve(udp, tcp))
		c, err := net.Dial("udp", udp.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		idle := dialTCP(t, tcp.Addr().String())
		for i := range uint16(20) {
			raw := packed(t, i, fmt.Sprintf("n%d.example.com", i), dns.TypeA)
			if _, err := c.Write(raw); err != nil {
				t.Fatal(err)
			}
			if _, err := idle.Write(framed(raw)); err != nil {
				t.Fatal(err)
			}
		}
	}
	waitFor(t, "the upstream server is asked", func() bool { return up.udp.Load() >= 20 })
	start := time.Now()
	if err := stops[0](); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("close took %v", took)
	}
	for _, stop := range append(stops, s.Close) {
		if err := stop(); err != nil {
			t.Errorf("once more: %v", err)
		}
	}
	udp, tcp := sockets(t)
	if err := s.Serve(udp, tcp)(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve after close: %v", err)
	}
	if err := udp.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error("a closed server did not close a socket that it was given")
	}
	waitFor(t, "no goroutine is left", func() bool { return goroutines() == "" })
}

// goroutines lists those that run code of this package, but for its tests' own.
func goroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var left []string
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, "network/dns.(*") && !strings.Contains(g, "_test.go") {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}

// TestLoad asks 10,000 times over UDP, from several sockets with many questions
// under way on each, and wants every answer.
func TestLoad(t *testing.T) {
	up := upstreamServer(t, says("1.2.3.4"))
	n := someNames()
	n.ask(up.addr)
	f := serve(t, n)
	const questions = 10_000
	begin := time.Now()
	if lost := load(t, f.addr, questions, 8, 64, mixed(t)); lost != 0 {
		t.Errorf("%d of %d questions were not answered", lost, questions)
	}
	t.Logf("%.0f questions/s", questions/time.Since(begin).Seconds())
}

// mixed are questions for names here, in the cache, and elsewhere.
func mixed(t testing.TB) [][]byte {
	raws := make([][]byte, 0, 100)
	for i := range 100 {
		switch {
		case i%2 == 0:
			raws = append(raws, packed(t, 0, "web", dns.TypeA))
		default:
			raws = append(raws, packed(t, 0, fmt.Sprintf("n%d.example.com", i), dns.TypeA))
		}
	}
	return raws
}

// load sends questions from a number of sockets, with so many under way on each,
// and returns how many had no answer. The ids number them.
func load(t testing.TB, addr string, questions, sockets, window int, raws [][]byte) (lost int) {
	t.Helper()
	var missing atomic.Int64
	var wg sync.WaitGroup
	for range sockets {
		wg.Go(func() {
			c, err := net.Dial("udp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = c.Close() }()
			missing.Add(int64(loadOne(c, questions/sockets, window, raws)))
		})
	}
	wg.Wait()
	return int(missing.Load())
}

func loadOne(c net.Conn, questions, window int, raws [][]byte) (lost int) {
	seen := make([]bool, questions)
	sent, answered := 0, 0
	buf, out := make([]byte, 2048), make([]byte, 512)
	for answered < questions {
		for ; sent < questions && sent-answered < window; sent++ {
			raw := out[:copy(out, raws[sent%len(raws)])]
			binary.BigEndian.PutUint16(raw, uint16(sent))
			if _, err := c.Write(raw); err != nil {
				return questions - answered
			}
		}
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return questions - answered
		}
		n, err := c.Read(buf)
		if err != nil {
			return questions - answered
		}
		// Right id, no error, at least one record.
		if id := int(binary.BigEndian.Uint16(buf)); n > headerSize && id < questions && !seen[id] && buf[3]&0xf == 0 && buf[7] > 0 {
			seen[id] = true
			answered++
		}
	}
	return 0
}

// BenchmarkServer measures what one server and the clients here do together.
func BenchmarkServer(b *testing.B) {
	up := upstreamServer(b, says("1.2.3.4"))
	unique := func(b *testing.B, count int) [][]byte {
		raws := make([][]byte, count)
		for i := range raws {
			raws[i] = packed(b, 0, fmt.Sprintf("n%d.%d.example.com", i, time.Now().UnixNano()), dns.TypeA)
		}
		return raws
	}
	for _, bb := range []struct {
		name string
		raws func(b *testing.B) [][]byte
	}{
		{"names", func(b *testing.B) [][]byte { return [][]byte{packed(b, 0, "web", dns.TypeA)} }},
		{"cached", func(b *testing.B) [][]byte { return unique(b, 100) }},
		{"forwarded", func(b *testing.B) [][]byte { return unique(b, max(b.N, 1)) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			n := someNames()
			n.ask(up.addr)
			f := serve(b, n)
			raws := bb.raws(b)
			b.ReportAllocs()
			b.ResetTimer()
			const sockets, most = 4, 40_000 // ids count those of one socket
			lost := 0
			for left := b.N; left > 0; left -= sockets * most {
				lost += load(b, f.addr, (min(left, sockets*most)+sockets-1)/sockets*sockets, sockets, 32, raws)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "questions/s")
			if lost > 0 {
				b.Errorf("%d of %d questions were not answered", lost, b.N)
			}
		})
	}
}

// BenchmarkHandle measures an answer without the sockets.
func BenchmarkHandle(b *testing.B) {
	up := upstreamServer(b, says("1.2.3.4"))
	n := someNames()
	n.ask(up.addr)
	f := serve(b, n)
	f.ask(b, "udp", question("www.example.com", dns.TypeA))
	for _, name := range []string{"web", "www.example.com"} {
		b.Run(name, func(b *testing.B) {
			raw := packed(b, 1, name, dns.TypeA)
			b.ReportAllocs()
			for b.Loop() {
				if reply, _ := f.handle(raw, client(), false); reply == nil {
					b.Fatal("no answer")
				}
			}
		})
	}
}

// seen remembers who asked.
type seen struct {
	*names
	from chan netip.Addr
}

func (s *seen) Lookup(from netip.Addr, name string) ([]netip.Addr, bool) {
	s.from <- from
	return s.names.Lookup(from, name)
}

// TestOtherSockets serves a socket of both families, wrapped so that it is no
// *net.UDPConn: an IPv4 client is seen as one.
func TestOtherSockets(t *testing.T) {
	n := &seen{someNames(), make(chan netip.Addr, 1)}
	s := New(Config{Names: n, ResolvConf: "/nonexistent"})
	defer func() { _ = s.Close() }()
	udp, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(struct{ net.PacketConn }{udp}, nil)
	f := &fixture{Server: s, addr: fmt.Sprintf("127.0.0.1:%d", udp.LocalAddr().(*net.UDPAddr).Port)}
	wantData(t, f.ask(t, "udp", question("db", dns.TypeA)), "NOERROR", "172.30.0.3")
	if from := <-n.from; from != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("asked by %v, want 127.0.0.1", from)
	}
}
