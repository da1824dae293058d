package dns

import (
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func alone(t *testing.T, n *names) *Server {
	t.Helper()
	n.internal = true
	s := New(Config{Names: n, ResolvConf: filepath.Join(t.TempDir(), "none")})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestNamesOfTheNetworks(t *testing.T) {
	s := alone(t, someNames())
	tests := []struct {
		name string
		m    *dns.Msg
		want []string
	}{
		{"IPv4", question("web", dns.TypeA), []string{"NOERROR", "172.30.0.2"}},
		{"IPv6", question("web", dns.TypeAAAA), []string{"NOERROR", "fd00::2"}},
		{"case", question("wEb", dns.TypeA), []string{"NOERROR", "172.30.0.2"}},
		{"no address of the family", question("db", dns.TypeAAAA), []string{"NOERROR"}},
		{"no address at all", question("silent", dns.TypeA), []string{"NOERROR"}},
		{"another type", question("web", dns.TypeHTTPS), []string{"NOERROR"}},
		{"mail", question("web", dns.TypeMX), []string{"NOERROR"}},
		{"any", question("web", dns.TypeANY), []string{"NOERROR", "RFC8482"}},
		{"reverse", question("2.0.30.172.in-addr.arpa", dns.TypePTR), []string{"NOERROR", "web."}},
		{"reverse, another type", question("2.0.30.172.in-addr.arpa", dns.TypeTXT), []string{"NOERROR"}},
		{"reverse IPv6", question("2."+strings.Repeat("0.", 27)+"0.0.d.f.ip6.arpa", dns.TypePTR), []string{"NOERROR", "web."}},
		{"unknown without a way out", question("example.com", dns.TypeA), []string{"NXDOMAIN"}},
		{"unknown address", question("9.9.9.9.in-addr.arpa", dns.TypePTR), []string{"NXDOMAIN"}},
		{"zone transfer", question("web", dns.TypeAXFR), []string{"REFUSED"}},
		{"type 0", question("web", 0), []string{"FORMERR"}},
		{"type OPT", question("web", dns.TypeOPT), []string{"FORMERR"}},
		{"class", &dns.Msg{Question: []dns.Question{{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}}}, []string{"REFUSED"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := direct(t, s, tt.m, false)
			wantData(t, r, tt.want...)
			if !r.RecursionAvailable || r.Id != tt.m.Id || r.Question[0] != tt.m.Question[0] {
				t.Errorf("answer %v does not fit to question %v", r, tt.m)
			}
			for _, rr := range r.Answer {
				if rr.Header().Ttl != localTTL || !r.Authoritative {
					t.Errorf("TTL %d, authoritative %v; want %d, true", rr.Header().Ttl, r.Authoritative, localTTL)
				}
			}
		})
	}
}

func TestSeveralAddressesTakeTurns(t *testing.T) {
	s := alone(t, someNames())
	first := map[string]bool{}
	for range 200 {
		r := direct(t, s, question("many", dns.TypeA), true)
		if len(r.Answer) != 100 {
			t.Fatalf("%d addresses, want 100", len(r.Answer))
		}
		first[r.Answer[0].String()] = true
	}
	if len(first) < 10 {
		t.Errorf("only %d of 100 addresses came first in 200 answers", len(first))
	}
}

func TestSizeOfAnswers(t *testing.T) {
	s := alone(t, someNames())
	for _, tt := range []struct {
		name   string
		edns   uint16 // 0 for none
		tcp    bool
		limit  int
		wantTC bool
	}{
		{"plain", 0, false, 512, true},
		{"EDNS smaller than allowed", 100, false, 512, true},
		{"EDNS", 1000, false, 1000, true},
		{"EDNS larger than we send", 4096, false, maxUDP, true},
		{"TCP", 0, true, 65535, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := question("many", dns.TypeA)
			if tt.edns > 0 {
				m.SetEdns0(tt.edns, true)
			}
			raw, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			reply, _ := s.handle(raw, client(), tt.tcp)
			var r dns.Msg
			if err := r.Unpack(reply); err != nil {
				t.Fatal(err)
			}
			if len(reply) > tt.limit || r.Truncated != tt.wantTC || len(r.Answer) == 0 {
				t.Errorf("%d bytes, truncated %v, %d records; want at most %d, %v", len(reply), r.Truncated, len(r.Answer), tt.limit, tt.wantTC)
			}
			opt := r.IsEdns0()
			if (opt != nil) != (tt.edns > 0) || opt != nil && (opt.UDPSize() != maxUDP || !opt.Do()) {
				t.Errorf("EDNS of the answer: %v", opt)
			}
		})
	}
}

func TestMalformedQuestions(t *testing.T) {
	s := alone(t, someNames())
	pack := func(change func(m *dns.Msg)) []byte {
		m := question("web", dns.TypeA)
		m.Id = 0x1234
		change(m)
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := pack(func(*dns.Msg) {})
	opt := func() *dns.OPT { return &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Class: 1232}} }
	badVersion := opt()
	badVersion.SetVersion(3)
	tests := []struct {
		name string
		raw  []byte
		want int // -1 for no answer
	}{
		{"nothing", nil, -1},
		{"a few bytes", good[:11], -1},
		{"an answer", pack(func(m *dns.Msg) { m.Response = true }), -1},
		{"header alone", good[:12], dns.RcodeFormatError},
		{"cut in the name", good[:14], dns.RcodeFormatError},
		{"no question", pack(func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError},
		{"two questions", pack(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError},
		{"with an answer", pack(func(m *dns.Msg) { m.Answer = records(m, 1, "1.2.3.4").Answer }), dns.RcodeFormatError},
		{"too long", append(good, make([]byte, maxQuery)...), dns.RcodeFormatError},
		{"update", pack(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), dns.RcodeNotImplemented},
		{"notify", pack(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), dns.RcodeNotImplemented},
		{"two EDNS records", pack(func(m *dns.Msg) { m.Extra = []dns.RR{opt(), opt()} }), dns.RcodeFormatError},
		{"EDNS version", pack(func(m *dns.Msg) { m.Extra = []dns.RR{badVersion} }), dns.RcodeBadVers},
		{"good", good, dns.RcodeSuccess},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reply, f := s.handle(tt.raw, client(), false)
			if f != nil {
				t.Fatal("it would be asked elsewhere")
			}
			if tt.want < 0 {
				if reply != nil {
					t.Fatalf("answered with %x, want nothing", reply)
				}
				return
			}
			var r dns.Msg
			if err := r.Unpack(reply); err != nil {
				t.Fatalf("answer %x: %v", reply, err)
			}
			if r.Rcode != tt.want || !r.Response || binary.BigEndian.Uint16(reply) != 0x1234 {
				t.Errorf("answer %v, want code %s", &r, dns.RcodeToString[tt.want])
			}
		})
	}
}

func TestArpa(t *testing.T) {
	for _, a := range []string{"1.2.3.4", "255.0.10.200", "::1", "fd12:3456:789a:bcde:f012:3456:789a:bcde", "2001:db8::"} {
		name, err := dns.ReverseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := arpa(strings.TrimSuffix(name, ".")); !ok || got != netip.MustParseAddr(a) {
			t.Errorf("arpa(%s) = %v, %v; want %s", name, got, ok, a)
		}
	}
	zeros := strings.Repeat("0.", 31)
	for _, name := range []string{
		"", "in-addr.arpa", "3.2.1.in-addr.arpa", "0.4.3.2.1.in-addr.arpa", "01.3.2.1.in-addr.arpa", "256.3.2.1.in-addr.arpa",
		"4.3.2.::1.in-addr.arpa", "a.3.2.1.in-addr.arpa", "...in-addr.arpa", "4.3.2.1.in-addr.arpa.x",
		"ip6.arpa", zeros + "ip6.arpa", "0." + zeros + "0.ip6.arpa", "g." + zeros + "ip6.arpa", "00" + zeros[1:] + "ip6.arpa", "+." + zeros + "ip6.arpa",
	} {
		if got, ok := arpa(name); ok {
			t.Errorf("arpa(%q) = %v, want none", name, got)
		}
	}
}
