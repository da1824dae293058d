package dns

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// How long an answer is kept at most, whatever its TTLs say.
const (
	maxLife         = time.Hour
	maxNegativeLife = 5 * time.Minute
)

// answer is what an upstream server said, as it is sent to each client but for
// id, flags, TTLs and EDNS, which are the client's and the hour's.
type answer struct {
	wire []byte
	ttls []int         // where in wire the TTLs are
	at   time.Time     // when it came
	life time.Duration // how long it may be kept; 0: not at all
}

// newAnswer packs an upstream server's message.
func newAnswer(m *dns.Msg, now time.Time) (*answer, error) {
	kept := m.Extra[:0]
	for _, rr := range m.Extra {
		switch rr.Header().Rrtype {
		case dns.TypeOPT, dns.TypeTSIG, dns.TypeSIG: // between two servers, not for the client
		default:
			kept = append(kept, rr)
		}
	}
	m.Extra = kept
	m.Compress = true
	m.Rcode &= 0xf // an extended one has been taken for a failure before
	wire, err := m.Pack()
	if err == nil && len(wire) > dns.MaxMsgSize {
		err = fmt.Errorf("%d bytes, at most %d", len(wire), dns.MaxMsgSize)
	}
	if err == nil {
		// A record that was cut short is read without complaint and packed as one that
		// no client could read.
		err = new(dns.Msg).Unpack(wire)
	}
	if err != nil {
		return nil, fmt.Errorf("pack answer for %s: %w", m.Question[0].Name, err)
	}
	ttls, err := ttlOffsets(wire)
	if err != nil {
		return nil, fmt.Errorf("pack answer for %s: %w", m.Question[0].Name, err)
	}
	return &answer{wire: wire, ttls: ttls, at: now, life: life(m)}, nil
}

// life is how long m may be kept: as long as all its records, and if it says
// that something is not there, as long as its SOA says (RFC 2308).
func life(m *dns.Msg) time.Duration {
	if m.Truncated || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError || m.Question[0].Qtype == dns.TypeANY {
		return 0
	}
	found, soa := false, false
	ttl := uint32(maxLife / time.Second)
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			ttl = min(ttl, sane(rr.Header().Ttl))
			found = found || i == 0 && rr.Header().Rrtype == m.Question[0].Qtype
			if s, ok := rr.(*dns.SOA); ok && i == 1 {
				soa = true
				ttl = min(ttl, sane(s.Minttl))
			}
		}
	}
	d := time.Duration(ttl) * time.Second
	switch {
	case found && m.Rcode == dns.RcodeSuccess:
		return d
	case soa:
		return min(d, maxNegativeLife)
	}
	return 0
}

// sane is a TTL; one with the highest bit set counts as 0 (RFC 2181, 8).
func sane(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}

// render makes the answer to q.
func (a *answer) render(q *query, now time.Time) []byte {
	out := make([]byte, len(a.wire), len(a.wire)+11)
	copy(out, a.wire)
	binary.BigEndian.PutUint16(out, q.id)
	out[2] = 0x80 | a.wire[2]&0x02 // an answer; truncated
	out[3] = 0x80 | a.wire[3]&0x2f // recursion is available; validated; code
	if q.rd {
		out[2] |= 0x01
	}
	if q.cd {
		out[3] |= 0x10
	}
	age := uint32(max(now.Sub(a.at), 0) / time.Second)
	for _, at := range a.ttls {
		ttl := sane(binary.BigEndian.Uint32(out[at:]))
		binary.BigEndian.PutUint32(out[at:], ttl-min(ttl, age))
	}
	q.restoreCase(out)
	if q.edns {
		out = append(out, 0, 0, byte(dns.TypeOPT), maxUDP>>8, maxUDP&0xff, 0, 0, 0, 0, 0, 0)
		if q.do {
			out[len(out)-4] = 0x80
		}
		binary.BigEndian.PutUint16(out[10:], binary.BigEndian.Uint16(out[10:])+1)
	}
	if len(out) > q.size {
		return q.shorten(out)
	}
	return out
}

// restoreCase writes the name as the client wrote it: some put chance into its
// case and compare.
func (q *query) restoreCase(out []byte) {
	var name [256]byte
	n, err := dns.PackDomainName(q.question.Name, name[:], 0, nil, false)
	end, ok := skipName(out, headerSize)
	if err == nil && ok && end-headerSize == n {
		copy(out[headerSize:], name[:n])
	}
}

// shorten cuts an answer to what the client takes.
func (q *query) shorten(out []byte) []byte {
	var m dns.Msg
	if err := m.Unpack(out); err != nil {
		return q.pack(q.reply(dns.RcodeServerFailure))
	}
	m.Truncate(q.size)
	short, err := m.Pack()
	if err != nil || len(short) > q.size {
		return q.pack(q.reply(dns.RcodeServerFailure))
	}
	return short
}

// ttlOffsets finds the TTLs of a message's records.
func ttlOffsets(wire []byte) ([]int, error) {
	const bad = "read record %d: message too short"
	count := func(at int) int { return int(binary.BigEndian.Uint16(wire[at:])) }
	off, ok := skipName(wire, headerSize)
	if !ok || off+4 > len(wire) {
		return nil, fmt.Errorf(bad, -1)
	}
	off += 4 // type and class
	n := count(6) + count(8) + count(10)
	ttls := make([]int, 0, n)
	for i := range n {
		if off, ok = skipName(wire, off); !ok || off+10 > len(wire) {
			return nil, fmt.Errorf(bad, i)
		}
		ttls = append(ttls, off+4)
		off += 10 + count(off+8)
	}
	if off > len(wire) {
		return nil, fmt.Errorf(bad, n)
	}
	return ttls, nil
}

// skipName finds the end of a name.
func skipName(wire []byte, off int) (end int, ok bool) {
	for off < len(wire) {
		switch n := int(wire[off]); {
		case n == 0:
			return off + 1, true
		case n&0xc0 != 0: // a pointer
			return off + 2, off+2 <= len(wire)
		default:
			off += 1 + n
		}
	}
	return 0, false
}
