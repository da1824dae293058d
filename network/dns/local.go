package dns

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// localTTL is how many seconds the address of a container may be kept. It
// changes whenever the container starts anew, so it is short (Docker's is 600);
// asking again costs some 20 microseconds. Not 0, which some resolvers take for
// an error.
const localTTL = 5

// local answers what needs no other server; nil if another must be asked.
func (s *Server) local(q *query) *dns.Msg {
	switch t := q.question.Qtype; {
	case t == dns.TypeNone || t == dns.TypeOPT:
		return q.reply(dns.RcodeFormatError)
	case q.question.Qclass != dns.ClassINET, t >= dns.TypeTKEY && t <= dns.TypeMAILA:
		return q.reply(dns.RcodeRefused) // the types among them: TKEY, TSIG, IXFR, AXFR, MAILB, MAILA
	}
	if addr, ok := arpa(q.name); ok {
		name, known := s.names.Reverse(q.from, addr)
		if !known {
			return nil
		}
		m := q.known()
		if q.question.Qtype == dns.TypePTR {
			m.Answer = []dns.RR{&dns.PTR{Hdr: q.header(), Ptr: dns.Fqdn(name)}}
		}
		return m
	}
	addrs, known := s.names.Lookup(q.from, q.name)
	if !known {
		return nil
	}
	m := q.known()
	if q.question.Qtype == dns.TypeANY {
		m.Answer = []dns.RR{q.any()}
		return m
	}
	for _, a := range addrs {
		switch {
		case q.question.Qtype == dns.TypeA && a.Unmap().Is4():
			m.Answer = append(m.Answer, &dns.A{Hdr: q.header(), A: a.Unmap().AsSlice()})
		case q.question.Qtype == dns.TypeAAAA && a.Is6() && !a.Is4In6():
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: q.header(), AAAA: a.AsSlice()})
		}
	}
	// By chance, not in turn: A and AAAA are asked for together, and with a common
	// counter each would always see the same address first.
	rand.Shuffle(len(m.Answer), func(i, j int) { m.Answer[i], m.Answer[j] = m.Answer[j], m.Answer[i] })
	return m
}

// known begins an answer about a name or address of the networks. Without
// records it is one without data, and not to be kept: it has no SOA.
func (q *query) known() *dns.Msg {
	m := q.reply(dns.RcodeSuccess)
	m.Authoritative = true
	return m
}

func (q *query) header() dns.RR_Header {
	return dns.RR_Header{Name: q.question.Name, Rrtype: q.question.Qtype, Class: dns.ClassINET, Ttl: localTTL}
}

// any is the short answer of RFC 8482 to who wants all there is.
func (q *query) any() dns.RR {
	h := q.header()
	h.Rrtype = dns.TypeHINFO
	return &dns.HINFO{Hdr: h, Cpu: "RFC8482"}
}

// arpa reads a name of in-addr.arpa or ip6.arpa that stands for one address.
func arpa(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		labels := strings.Split(rest, ".")
		if len(labels) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(labels[3] + "." + labels[2] + "." + labels[1] + "." + labels[0])
		return a, err == nil && a.Is4()
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(rest) != 63 { // 32 digits and the dots between
		return netip.Addr{}, false
	}
	var ip [16]byte
	for i := range 32 {
		digit, err := strconv.ParseUint(rest[62-2*i:63-2*i], 16, 4)
		if err != nil || i > 0 && rest[63-2*i] != '.' {
			return netip.Addr{}, false
		}
		ip[i/2] |= byte(digit) << (4 * (1 - i%2))
	}
	return netip.AddrFrom16(ip), true
}
