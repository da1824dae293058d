package dns

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// forward is a question that others must be asked.
type forward struct {
	q       *query
	servers []netip.AddrPort
	rotate  bool // ask any of them first
	ask     *ask
	key     string
}

// errOnlyWe is a resolv.conf, or a list of a container's servers, that leads back.
var errOnlyWe = errors.New("no upstream server but ourselves: name another one")

// handle answers a message at once, or returns what must be asked elsewhere first.
// Neither: it deserves no answer.
func (s *Server) handle(raw []byte, from netip.AddrPort, tcp bool) (reply []byte, f *forward) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	q, refusal := parse(raw, from.Addr().WithZone(""), tcp)
	if q == nil {
		return refusal, nil
	}
	if m := s.local(q); m != nil {
		return q.pack(m), nil
	}
	if s.up.isOurs(from) {
		return q.pack(q.reply(dns.RcodeRefused)), nil
	}
	f, rcode := s.route(q)
	if f == nil {
		return q.pack(q.reply(rcode)), nil
	}
	now := time.Now()
	if a := s.cache.get(f.key, now); a != nil {
		return a.render(q, now), nil
	}
	return nil, f
}

// route decides whom to ask; with nobody to ask, rcode is the answer.
func (s *Server) route(q *query) (f *forward, rcode int) {
	servers, external := s.names.Upstreams(q.from)
	if !external {
		return nil, dns.RcodeNameError
	}
	host := s.host.get(time.Now())
	if host.noSingleLabel && !strings.Contains(q.name, ".") && q.name != "" {
		return nil, dns.RcodeNameError
	}
	generation := -1 // a container's own servers do not change with the host's file
	if len(servers) == 0 {
		servers, generation = host.servers, host.generation
	}
	if len(servers) == 0 {
		return nil, dns.RcodeServerFailure
	}
	f = &forward{
		q: q, servers: servers, rotate: host.rotate,
		ask: &ask{
			name: dns.Fqdn(q.name), qtype: q.question.Qtype,
			rd: q.rd, cd: q.cd, ad: q.ad, edns: q.edns, do: q.do, attempts: host.attempts,
		},
	}
	f.key = key(f.ask, servers, generation)
	return f, 0
}

// key is equal for questions that have the same answer: EDNS only says how it may
// travel, all else changes it.
func key(a *ask, servers []netip.AddrPort, generation int) string {
	b := make([]byte, 0, len(a.name)+16+19*len(servers))
	flags := byte(0)
	for i, on := range []bool{a.rd, a.cd, a.ad, a.do} {
		if on {
			flags |= 1 << i
		}
	}
	b = binary.BigEndian.AppendUint16(append(b, flags), a.qtype)
	b = binary.BigEndian.AppendUint64(b, uint64(generation))
	b = append(append(b, a.name...), 0) // no name has this byte: it would be escaped
	for _, s := range servers {
		b = append(s.AppendTo(b), 0)
	}
	return string(b)
}

// later resolves f in a goroutine, which Close joins, and hands its answer to send.
// Beyond the limits it fails at once: a client that asks for so much at a time is
// broken or means harm, and holding its questions would cost the others.
func (s *Server) later(f *forward, send func(reply []byte)) {
	if !s.pending.enter(f.q.from) {
		send(f.q.pack(f.q.reply(dns.RcodeServerFailure)))
		return
	}
	go func() {
		defer s.pending.leave(f.q.from)
		send(s.resolve(f))
	}()
}

// resolve asks upstream, once for all who want the same at the same time.
func (s *Server) resolve(f *forward) []byte {
	v, err, _ := s.flights.Do(f.key, func() (any, error) {
		if a := s.cache.get(f.key, time.Now()); a != nil {
			return a, nil // it came between the first look and now
		}
		servers := slices.DeleteFunc(slices.Clone(f.servers), s.listensAt)
		if len(servers) == 0 {
			return nil, errOnlyWe
		}
		m, err := s.up.race(s.ctx, s.up.order(servers, f.rotate), f.ask)
		if err != nil {
			return nil, err
		}
		if len(m.Question) == 0 || m.Rcode > 0xf {
			return m.Rcode, nil // an excuse of few words
		}
		a, err := newAnswer(m, time.Now())
		if err == nil {
			s.cache.put(f.key, a)
		}
		return a, err
	})
	switch v := v.(type) {
	case *answer:
		if err == nil {
			return v.render(f.q, time.Now())
		}
	case int:
		if v <= 0xf {
			return f.q.pack(f.q.reply(v))
		}
	}
	s.log.Debug("name not resolved", "name", f.q.name, "client", f.q.from, "err", err)
	return f.q.pack(f.q.reply(dns.RcodeServerFailure))
}
