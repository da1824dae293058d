package usermode

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// flowIdle is how long a flow of UDP stays without a packet: what RFC 4787 asks of
	// a NAT at least.
	flowIdle    = 2 * time.Minute
	maxDatagram = 65535
)

// datagram begins a flow of the inside's to somewhere in the world. It is called
// by the reader of packets and must not block.
func (s *side) datagram(r *udp.ForwarderRequest) {
	to := target(r.ID())
	if a := to.Addr(); a.IsMulticast() || a.IsUnspecified() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || !enter(s.flows) {
		return
	}
	var queue waiter.Queue
	ep, terr := r.CreateEndpoint(&queue)
	if terr != nil {
		<-s.flows
		return
	}
	inside := gonet.NewUDPConn(&queue, ep)
	s.working.Go(func() {
		defer func() { <-s.flows }()
		if s.plan.isGateway(to.Addr()) {
			s.answerNames(inside, to.Port())
			return
		}
		outside, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			_ = inside.Close() // nothing was sent
			return
		}
		s.exchange(inside, outside)
	})
}

// exchange passes datagrams both ways until the flow is idle.
func (s *side) exchange(inside, outside net.Conn) {
	stop := context.AfterFunc(s.ctx, func() { _, _ = inside.Close(), outside.Close() })
	defer stop()
	var seen lastSeen
	seen.now()
	var both sync.WaitGroup
	both.Go(func() { passDatagrams(outside, inside, &seen); _ = outside.Close() })
	both.Go(func() { passDatagrams(inside, outside, &seen); _ = inside.Close() })
	both.Wait()
}

// lastSeen is when a packet of a flow went either way.
type lastSeen struct {
	mu sync.Mutex
	at time.Time
}

func (l *lastSeen) now() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Now()
}

func (l *lastSeen) ends() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at.Add(flowIdle)
}

func passDatagrams(to, from net.Conn, seen *lastSeen) {
	b := make([]byte, maxDatagram)
	for {
		if from.SetReadDeadline(seen.ends()) != nil {
			return
		}
		n, err := from.Read(b)
		if timedOut(err) && time.Now().Before(seen.ends()) {
			continue // the other way was used
		}
		if err != nil {
			return
		}
		seen.now()
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// flows are those of a published port, by client.
type flows struct {
	side    *side
	outside *net.UDPConn
	arrives netip.AddrPort

	mu  sync.Mutex
	all map[netip.AddrPort]*gonet.UDPConn // guarded by mu
}

// serveDatagrams leads the datagrams to a published port to the inside, until the
// socket is closed.
func (s *side) serveDatagrams(outside *net.UDPConn, arrives netip.AddrPort) {
	f := &flows{side: s, outside: outside, arrives: arrives, all: map[netip.AddrPort]*gonet.UDPConn{}}
	var answering sync.WaitGroup
	b := make([]byte, maxDatagram)
	for {
		n, from, err := outside.ReadFromUDPAddrPort(b)
		if err != nil {
			break
		}
		if c := f.of(from, &answering); c != nil {
			_, _ = c.Write(b[:n]) // as the network does with a packet that nobody takes
		}
	}
	f.mu.Lock()
	for _, c := range f.all {
		_ = c.Close() // the port is closed
	}
	f.mu.Unlock()
	answering.Wait()
}

// of finds the flow of a client, or begins it; nil if there are too many.
func (f *flows) of(client netip.AddrPort, answering *sync.WaitGroup) *gonet.UDPConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.all[client]; c != nil {
		return c
	}
	if !enter(f.side.flows) {
		return nil
	}
	s := f.side
	source := s.sourceFor(netip.AddrPortFrom(client.Addr().Unmap().WithZone(""), client.Port()), f.arrives)
	from, to := fullAddr(source), fullAddr(f.arrives)
	c, err := gonet.DialUDP(s.stack, &from, &to, protocolOf(f.arrives.Addr()))
	if err != nil {
		from.Port = 0
		c, err = gonet.DialUDP(s.stack, &from, &to, protocolOf(f.arrives.Addr()))
	}
	if err != nil {
		<-s.flows
		return nil
	}
	f.all[client] = c
	answering.Go(func() { f.answer(client, c) })
	return c
}

// answer passes what the inside sends to a client, until it is silent.
func (f *flows) answer(client netip.AddrPort, c *gonet.UDPConn) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.all, client)
		_ = c.Close() // a later datagram begins a new flow
		<-f.side.flows
	}()
	b := make([]byte, maxDatagram)
	for c.SetReadDeadline(time.Now().Add(flowIdle)) == nil {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if _, err := f.outside.WriteToUDPAddrPort(b[:n], client); err != nil {
			return
		}
	}
}
