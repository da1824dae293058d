package dns

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Sizes of messages, in bytes.
const (
	headerSize = 12
	maxQuery   = 4096 // of a client's question
	maxUDP     = 1232 // of answers over UDP, ours and those of upstream servers: DNS flag day 2020
)

// query is a client's question that is worth an answer.
type query struct {
	from     netip.Addr
	id       uint16
	question dns.Question
	name     string // lower case, without the last dot
	size     int    // the largest answer that the client takes
	rd, cd   bool
	ad       bool // the client wants to know whether the answer was validated
	edns, do bool
}

// parse reads a question. Without a query, refusal is the answer to it, nil for
// none: what is not even a question, or is itself an answer, is not answered, or
// two servers could talk to each other for ever.
func parse(raw []byte, from netip.Addr, tcp bool) (q *query, refusal []byte) {
	if len(raw) < headerSize || raw[2]&0x80 != 0 {
		return nil, nil
	}
	if opcode := int(raw[2] >> 3 & 0xf); opcode != dns.OpcodeQuery {
		return nil, refuse(raw, dns.RcodeNotImplemented)
	}
	var m dns.Msg
	questions, answers := binary.BigEndian.Uint16(raw[4:]), binary.BigEndian.Uint32(raw[6:])
	if len(raw) > maxQuery || questions != 1 || answers != 0 || m.Unpack(raw) != nil || len(m.Question) != 1 {
		return nil, refuse(raw, dns.RcodeFormatError)
	}
	q = &query{
		from: from, id: m.Id, question: m.Question[0], size: dns.MinMsgSize,
		rd: m.RecursionDesired, cd: m.CheckingDisabled, ad: m.AuthenticatedData,
	}
	q.name = strings.ToLower(strings.TrimSuffix(q.question.Name, "."))
	version := uint8(0)
	for _, rr := range m.Extra {
		opt, ok := rr.(*dns.OPT)
		switch {
		case !ok: // a signature that we do not read
		case q.edns || opt.Hdr.Name != ".":
			return nil, refuse(raw, dns.RcodeFormatError)
		default:
			q.edns, q.do, version = true, opt.Do(), opt.Version()
			q.size = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
		}
	}
	if tcp {
		q.size = dns.MaxMsgSize
	}
	if version != 0 {
		return nil, q.pack(q.reply(dns.RcodeBadVers))
	}
	return q, nil
}

// refuse answers a question that could not be read with nothing but a header.
func refuse(raw []byte, rcode int) []byte {
	out := make([]byte, headerSize)
	copy(out, raw[:2])
	out[2] = 0x80 | raw[2]&0x79 // an answer, of the same opcode and wish for recursion
	out[3] = 0x80 | byte(rcode)
	return out
}

// reply begins an answer.
func (q *query) reply(rcode int) *dns.Msg {
	return &dns.Msg{
		MsgHdr: dns.MsgHdr{
			Id: q.id, Response: true, Rcode: rcode,
			RecursionDesired: q.rd, RecursionAvailable: true, CheckingDisabled: q.cd,
		},
		Question: []dns.Question{q.question},
	}
}

// pack makes an answer as large as the client takes, and no larger.
func (q *query) pack(m *dns.Msg) []byte {
	if q.edns {
		m.SetEdns0(maxUDP, q.do)
	}
	m.Truncate(q.size)
	out, err := m.Pack()
	if err == nil && len(out) <= q.size {
		return out
	}
	out, err = q.reply(dns.RcodeServerFailure).Pack()
	if err != nil { // the question came from a message: it fits into one
		return nil
	}
	return out
}
