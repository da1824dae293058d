// Package dns is the name server of the networks: it answers for their
// containers and passes every other question on to the resolvers of the host.
//
// Level: L2.
// Owns: the answers, a cache of what upstream servers said, the sockets it was given.
// May import: github.com/miekg/dns (its only importer), golang.org/x/sync.
// Must not know: where names and addresses come from; bridges, namespaces, the other rooms.
//
// # A question's way
//
// Each network has a UDP and a TCP socket (Serve); who asks is known by the
// source address. handle answers at once what it can: malformed questions, names
// and addresses of the networks, what the cache has. The rest is resolved in a
// goroutine of its own: equal questions share one query (singleflight), and the
// upstream servers are asked in their order, the next one too as soon as one fails
// or is silent for a second (race.go).
//
// # Decisions
//
//   - A name that Names knows is never asked for elsewhere, whatever the type.
//   - Unknown names of a single label are forwarded, as Docker does: the host's
//     resolvers may know them (a router's lease names, systemd-resolved's host
//     name), and the host itself would ask. With "options no-tld-query" in the
//     host's resolv.conf it would not, and neither is it done here.
//   - A network without a way out answers NXDOMAIN for unknown names: "no such
//     host" at once, where SERVFAIL makes programs try again for seconds.
//   - Answers over UDP are at most 1232 bytes, whatever the client would take:
//     that passes every bridge unfragmented. What is larger comes over TCP.
//   - A truncated answer of an upstream server is asked for again over TCP at
//     once, also if the client came by UDP: the whole is in the cache when the
//     client comes back over TCP.
package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sync/singleflight"
)

// Names is what the server asks about the networks. It is called for each
// question, by several goroutines at once, and must not block. from is the
// address that asks: it decides which networks are seen.
type Names interface {
	// Lookup finds the addresses of a name, which has lower case and no last dot.
	// A name that is known and has no addresses exists, without data.
	Lookup(from netip.Addr, name string) (addrs []netip.Addr, known bool)
	// Reverse finds the name of an address.
	Reverse(from, addr netip.Addr) (name string, known bool)
	// Upstreams are the servers that from has asked for, none for those of the
	// host; external is false for a network that has no way to the world.
	Upstreams(from netip.Addr) (servers []netip.AddrPort, external bool)
}

// Config is what a server needs.
type Config struct {
	Names      Names
	ResolvConf string       // the host's resolv.conf, read again when it changes
	Log        *slog.Logger // nil for none
}

// Limits of what clients can make the server hold at a time.
const (
	maxPending          = 4096 // questions that wait for upstream servers; each may hold a socket for each of them
	maxPendingPerClient = 1024
	maxConns            = 512 // TCP connections of clients
	maxConnsPerClient   = 32
)

// Server answers the questions of any number of networks. It is safe for
// concurrent use.
type Server struct {
	names Names
	log   *slog.Logger
	host  *resolvConf
	cache *cache
	up    *upstream

	flights singleflight.Group // by key: equal questions to the same upstream servers
	pending *limiter
	conns   *limiter

	ctx    context.Context // the server's own life, which no call has: ends at Close
	cancel context.CancelFunc

	mu       sync.Mutex
	closed   bool
	services map[*service]struct{}
}

// New makes a server that has no sockets yet.
func New(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		names: c.Names, log: c.Log,
		host:  newResolvConf(c.ResolvConf, c.Log),
		cache: newCache(), up: newUpstream(),
		pending: newLimiter(maxPending, maxPendingPerClient),
		conns:   newLimiter(maxConns, maxConnsPerClient),
		ctx:     ctx, cancel: cancel,
		services: map[*service]struct{}{},
	}
}

// Serve answers at the sockets of one network, which are the server's from now
// on; one of them may be nil. They should be bound to one address, so that
// answers come from where the question went to. stop closes the sockets and
// returns when nothing reads them any more; what is being resolved ends by
// itself soon, unanswered.
func (s *Server) Serve(udp net.PacketConn, tcp net.Listener) (stop func() error) {
	v := newService(s, udp, tcp)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		err := errors.Join(v.stop(), net.ErrClosed)
		return func() error { return err }
	}
	s.services[v] = struct{}{}
	v.start()
	return func() error {
		s.mu.Lock()
		delete(s.services, v)
		s.mu.Unlock()
		return v.stop()
	}
}

// Close stops all networks and returns when every goroutine of the server has
// ended.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	services := s.services
	s.services = map[*service]struct{}{}
	s.mu.Unlock()
	s.cancel()
	var errs []error
	for v := range services {
		errs = append(errs, v.stop())
	}
	s.pending.close()
	return errors.Join(errs...)
}

// listensAt says whether addr is one of the server's own: asking it would ask
// ourselves.
func (s *Server) listensAt(addr netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.services {
		if v.addr == addr {
			return true
		}
	}
	return false
}
