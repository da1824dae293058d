package dns

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func soa(ttl, minimum uint32) dns.RR {
	return &dns.SOA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl}, Ns: "ns.", Mbox: "m.", Minttl: minimum}
}

func TestLifeOfAnswers(t *testing.T) {
	q := question("a.example.com", dns.TypeA)
	alias := &dns.CNAME{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 20}, Target: "b."}
	with := func(m *dns.Msg, change func(m *dns.Msg)) *dns.Msg {
		change(m)
		return m
	}
	tests := []struct {
		name string
		m    *dns.Msg
		want time.Duration
	}{
		{"records", records(q, 30, "1.1.1.1"), 30 * time.Second},
		{"the shortest counts", with(records(q, 30, "1.1.1.1"), func(m *dns.Msg) { m.Answer = append(m.Answer, alias) }), 20 * time.Second},
		{"zero", records(q, 0, "1.1.1.1"), 0},
		{"very long", records(q, 1<<30, "1.1.1.1"), maxLife},
		{"highest bit", records(q, 1<<31, "1.1.1.1"), 0},
		{"truncated", with(records(q, 30, "1.1.1.1"), func(m *dns.Msg) { m.Truncated = true }), 0},
		{"no name, no SOA", rcode(q, dns.RcodeNameError), 0},
		{"no name", with(rcode(q, dns.RcodeNameError), func(m *dns.Msg) { m.Ns = []dns.RR{soa(100, 7)} }), 7 * time.Second},
		{"no name, the SOA's own TTL", with(rcode(q, dns.RcodeNameError), func(m *dns.Msg) { m.Ns = []dns.RR{soa(5, 70)} }), 5 * time.Second},
		{"no data", with(records(q, 0), func(m *dns.Msg) { m.Ns = []dns.RR{soa(9000, 8000)} }), maxNegativeLife},
		{"alias to no data", with(records(q, 0), func(m *dns.Msg) { m.Answer, m.Ns = []dns.RR{alias}, []dns.RR{soa(90, 80)} }), 20 * time.Second},
		{"alias alone", with(records(q, 0), func(m *dns.Msg) { m.Answer = []dns.RR{alias} }), 0},
		{"failure", with(rcode(q, dns.RcodeServerFailure), func(m *dns.Msg) { m.Ns = []dns.RR{soa(90, 80)} }), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := newAnswer(tt.m, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if a.life != tt.want {
				t.Errorf("kept for %v, want %v", a.life, tt.want)
			}
		})
	}
}

func TestCacheAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		a, err := newAnswer(records(question("x.y", dns.TypeA), 10, "1.1.1.1"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		c.put("k", a)
		q := &query{question: question("X.y", dns.TypeA).Question[0], size: 512, id: 77, rd: true}
		for _, step := range []struct {
			wait time.Duration
			ttl  uint32
		}{{0, 10}, {2900 * time.Millisecond, 8}, {7 * time.Second, 1}} {
			time.Sleep(step.wait) // of synctest's clock
			got := c.get("k", time.Now())
			if got == nil {
				t.Fatalf("nothing is kept %v later", step.wait)
			}
			var m dns.Msg
			if err := m.Unpack(got.render(q, time.Now())); err != nil {
				t.Fatal(err)
			}
			if m.Answer[0].Header().Ttl != step.ttl || m.Id != 77 || m.Question[0].Name != "X.y." || m.Answer[0].Header().Name != "X.y." {
				t.Errorf("answer %v, want TTL %d for X.y.", &m, step.ttl)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if c.get("k", time.Now()) != nil {
			t.Error("kept for longer than its TTL")
		}
		if c.bytes != 0 || len(c.entries) != 0 || c.recent.Len() != 0 {
			t.Errorf("an old entry is still counted: %d bytes, %d entries", c.bytes, len(c.entries))
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache()
	now := time.Now()
	for i := range maxCacheEntries + 100 {
		c.put(fmt.Sprint(i), &answer{wire: make([]byte, 100), at: now, life: time.Hour})
		c.get("0", now) // what is asked for stays
	}
	if len(c.entries) != maxCacheEntries || c.get("0", now) == nil || c.get("1", now) != nil {
		t.Errorf("%d entries, want %d: those used last", len(c.entries), maxCacheEntries)
	}
	for i := range 200 {
		c.put(fmt.Sprint("large", i), &answer{wire: make([]byte, 60_000), at: now, life: time.Hour})
	}
	c.put("too large", &answer{wire: make([]byte, maxCacheBytes), at: now, life: time.Hour})
	if c.bytes > maxCacheBytes || c.get("large199", now) == nil || c.get("too large", now) != nil {
		t.Errorf("%d bytes, at most %d are allowed", c.bytes, maxCacheBytes)
	}
}
