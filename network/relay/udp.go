package relay

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxDatagram = 1 << 16
	// idle is how long a session lives after its last datagram: as long as the kernel's
	// connection tracking remembers a flow that was answered.
	idle = 2 * time.Minute
	// atOnce bounds the datagrams that are read of one port before others have their turn.
	atOnce = 64
)

// session is a client of a port of UDP.
type session struct {
	server *net.UDPConn
	client syscall.SockaddrInet6
	last   atomic.Int64 // unix nanoseconds
}

// Close ends it.
func (s *session) Close() error { return s.server.Close() }

// receive takes the datagrams that wait. One that cannot be passed on is lost, as on any way.
func (p *port) receive(buf []byte) {
	for range atOnce {
		var n int
		var from syscall.Sockaddr
		err := onFD(p.socket, func(fd int) (err error) {
			n, from, err = syscall.Recvfrom(fd, buf, 0)
			return err
		})
		if err != nil { // nothing waits
			return
		}
		client, ok := from.(*syscall.SockaddrInet6)
		// Only the host itself reaches [::1]; to its other addresses the kernel leads the way.
		if !ok || !addrPort(client).Addr().IsLoopback() {
			continue
		}
		if s := p.session(client); s != nil {
			s.last.Store(time.Now().UnixNano())
			_, _ = s.server.Write(buf[:n]) // refused or not
		}
	}
}

// session finds or begins the session of a client; nil: there are too many.
func (p *port) session(client *syscall.SockaddrInet6) *session {
	from := addrPort(client)
	p.mu.Lock()
	s := p.udp[from]
	p.mu.Unlock()
	if s != nil {
		return s
	}
	server, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.to[0]))
	if err != nil {
		return nil
	}
	s = &session{server: server, client: *client}
	if !p.enter(s) {
		_ = server.Close() // nothing was sent
		return nil
	}
	p.mu.Lock()
	p.udp[from] = s
	p.mu.Unlock()
	s.last.Store(time.Now().UnixNano())
	p.all.Go(func() {
		defer p.leave(s)
		p.answer(s)
		p.forget(from)
		_ = server.Close() // it may be the end of the port
	})
	return s
}

// answer sends a container's datagrams to a client until the session is idle. A
// datagram that nobody wanted (ECONNREFUSED) does not end it.
func (p *port) answer(s *session) {
	buf := make([]byte, maxDatagram)
	for p.ctx.Err() == nil {
		until := time.Unix(0, s.last.Load()).Add(idle)
		if time.Now().After(until) || s.server.SetReadDeadline(until) != nil {
			return
		}
		n, err := s.server.Read(buf)
		if err != nil {
			continue // refused, idle, or the end
		}
		s.last.Store(time.Now().UnixNano())
		_ = onFD(p.socket, func(fd int) error { return syscall.Sendto(fd, buf[:n], 0, &s.client) }) // or it is lost
	}
}

func (p *port) forget(client netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.udp, client)
}
