package dns

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzHandle gives the server whatever comes from a container.
func FuzzHandle(f *testing.F) {
	for _, m := range []*dns.Msg{
		question("web", dns.TypeA), question("many", dns.TypeA), question("web", dns.TypeANY), question("example.com", dns.TypeMX),
		question("2.0.30.172.in-addr.arpa", dns.TypePTR), question(`we\.b`, dns.TypeA), question(`\000\255`, dns.TypeTXT), question(".", dns.TypeNS),
	} {
		for _, edns := range []bool{false, true} {
			if edns {
				m.SetEdns0(4096, true)
			}
			raw, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw, false)
			f.Add(raw[:len(raw)-3], true)
		}
	}
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"), false) // a name that points to itself
	n := someNames()
	n.ask(netip.MustParseAddrPort("192.0.2.1:53"))
	s := New(Config{Names: n, ResolvConf: "/nonexistent"})
	f.Fuzz(func(t *testing.T, raw []byte, tcp bool) {
		reply, later := s.handle(raw, client(), tcp)
		if later != nil { // what would be asked can be asked, and answered
			if wire, _, err := later.ask.message(); err != nil {
				t.Fatalf("no question for %q: %v", later.ask.name, err)
			} else if got := new(dns.Msg); got.Unpack(wire) != nil || got.Question[0].Name != later.ask.name {
				t.Fatalf("asks for %v, want %q", got.Question, later.ask.name)
			}
			a, err := newAnswer(records(&dns.Msg{Question: []dns.Question{{Name: later.ask.name, Qtype: 1, Qclass: 1}}}, 60, "1.2.3.4"), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			reply = a.render(later.q, time.Now())
		}
		checkReply(t, raw, reply, tcp)
	})
}

func checkReply(t *testing.T, raw, reply []byte, tcp bool) {
	t.Helper()
	if reply == nil {
		if len(raw) >= headerSize && raw[2]&0x80 == 0 {
			t.Fatalf("question %x has no answer", raw)
		}
		return
	}
	limit := maxUDP
	if tcp {
		limit = dns.MaxMsgSize
	}
	var m dns.Msg
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("answer %x: %v", reply, err)
	}
	if !m.Response || len(reply) > limit || m.Id != binary.BigEndian.Uint16(raw) {
		t.Fatalf("answer %v of %d bytes to %x", &m, len(reply), raw)
	}
}

// FuzzUpstream gives the server whatever comes from an upstream server.
func FuzzUpstream(f *testing.F) {
	q := question("www.example.com", dns.TypeA)
	q.Id = 7
	for _, m := range []*dns.Msg{
		records(q, 60, "1.2.3.4"), large(q, true), large(q, false), rcode(q, dns.RcodeServerFailure),
		{MsgHdr: dns.MsgHdr{Id: 7, Response: true}, Question: q.Question, Ns: []dns.RR{soa(3, 4)}},
	} {
		m.Compress = true
		m.SetEdns0(1232, true)
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint16(512))
		f.Add(raw[:len(raw)-5], uint16(1232))
	}
	f.Fuzz(func(t *testing.T, raw []byte, size uint16) {
		a := &ask{name: "www.example.com.", qtype: dns.TypeA}
		m := a.read(raw, 7)
		if m == nil || len(m.Question) == 0 || m.Rcode > 0xf {
			return
		}
		now := time.Now()
		answer, err := newAnswer(m, now)
		if err != nil {
			return
		}
		client := &query{id: 9, question: q.Question[0], name: "www.example.com", size: max(512, int(size)), edns: size%2 == 0, do: size%3 == 0}
		for _, age := range []time.Duration{0, time.Minute, 100 * time.Hour} {
			reply := answer.render(client, now.Add(age))
			var r dns.Msg
			if err := r.Unpack(reply); err != nil {
				t.Fatalf("answer %x to %x: %v", reply, raw, err)
			}
			if len(reply) > client.size || r.Id != 9 || !r.Response || r.Question[0] != client.question || (r.IsEdns0() != nil) != client.edns {
				t.Fatalf("answer %v of %d bytes", &r, len(reply))
			}
		}
	})
}
