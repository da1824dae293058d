package usermode

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// dialLimit bounds how long a connection is being made: Linux gives up after
	// two minutes (tcp_syn_retries, tcp(7)).
	dialLimit = 130 * time.Second
	// insideLimit is the same for one to the inside, which is on this machine.
	insideLimit = 20 * time.Second
	copyBuffer  = 256 << 10
)

// dnsPort is where the gateway stands for the host's name servers.
const dnsPort = 53

// connect makes a connection of the inside's to somewhere in the world.
func (s *side) connect(r *tcp.ForwarderRequest) {
	s.working.Add(1)
	defer s.working.Done()
	if !enter(s.conns) {
		r.Complete(true)
		return
	}
	defer func() { <-s.conns }()
	outside, err := s.dial(target(r.ID()))
	if err != nil {
		r.Complete(!timedOut(err)) // who is silent stays silent
		return
	}
	var queue waiter.Queue
	ep, terr := r.CreateEndpoint(&queue)
	r.Complete(terr != nil)
	if terr != nil {
		reset(outside)
		return
	}
	s.join(insideConn{gonet.NewTCPConn(&queue, ep), ep}, outside)
}

// dial connects to where a packet wants to go. The gateway itself is the host's name
// servers and nothing else: the host's own loopback address stays out of reach.
func (s *side) dial(to netip.AddrPort) (*net.TCPConn, error) {
	ctx, stop := context.WithTimeout(s.ctx, dialLimit)
	defer stop()
	if !s.plan.isGateway(to.Addr()) {
		return dialTCP(ctx, to)
	}
	err := error(syscall.ECONNREFUSED)
	if to.Port() == dnsPort {
		for _, server := range nameServers(s.conf) {
			var c *net.TCPConn
			if c, err = dialAny(ctx, server); err == nil {
				return c, nil
			}
		}
	}
	return nil, err
}

func dialTCP(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	if a := to.Addr(); a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() {
		return nil, syscall.ENETUNREACH
	}
	return dialAny(ctx, to)
}

func dialAny(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	d := net.Dialer{}
	d.SetMultipathTCP(false)
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil //nolint:errcheck // "tcp" is nothing else
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// insideConn is a connection to the inside, which can also be broken off.
type insideConn struct {
	*gonet.TCPConn
	ep tcpip.Endpoint
}

// serve leads a connection to a published port to the inside, until it ends.
func (s *side) serve(outside *net.TCPConn, arrives netip.AddrPort) {
	if !enter(s.conns) {
		reset(outside)
		return
	}
	defer func() { <-s.conns }()
	inside, err := s.dialInside(clientOf(outside.RemoteAddr()), arrives)
	if err != nil {
		reset(outside)
		return
	}
	s.join(inside, outside)
}

// dialInside connects to the inside from the client's address, if the inside can
// answer to it, else from the gateway's.
func (s *side) dialInside(client, to netip.AddrPort) (insideConn, error) {
	ctx, stop := context.WithTimeout(s.ctx, insideLimit)
	defer stop()
	c, err := s.dialFrom(ctx, s.sourceFor(client, to), to)
	var used *net.OpError
	if errors.As(err, &used) && used.Op == "bind" { // the client uses that port for another connection, too
		return s.dialFrom(ctx, netip.AddrPortFrom(s.sourceFor(client, to).Addr(), 0), to)
	}
	return c, err
}

func (s *side) dialFrom(ctx context.Context, from, to netip.AddrPort) (insideConn, error) {
	var queue waiter.Queue
	ep, terr := s.stack.NewEndpoint(tcp.ProtocolNumber, protocolOf(to.Addr()), &queue)
	if terr != nil {
		return insideConn{}, &net.OpError{Op: "socket", Err: errors.New(terr.String())}
	}
	connected, ready := waiter.NewChannelEntry(waiter.WritableEvents)
	queue.EventRegister(&connected)
	defer queue.EventUnregister(&connected)
	if terr := ep.Bind(fullAddr(from)); terr != nil {
		ep.Close()
		return insideConn{}, &net.OpError{Op: "bind", Err: errors.New(terr.String())}
	}
	terr = ep.Connect(fullAddr(to))
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ready:
			terr = ep.LastError()
		case <-ctx.Done():
			ep.Abort()
			return insideConn{}, context.Cause(ctx)
		}
	}
	if terr != nil {
		ep.Close()
		return insideConn{}, &net.OpError{Op: "connect", Err: errors.New(terr.String())}
	}
	return insideConn{gonet.NewTCPConn(&queue, ep), ep}, nil
}

// sourceFor is the address by which the inside sees a client. The host itself, by
// its loopback address, and what the inside takes for its own are seen as the gateway.
func (s *side) sourceFor(client, to netip.AddrPort) netip.AddrPort {
	a := client.Addr()
	gateway := s.plan.Gateway4()
	if to.Addr().Is6() {
		gateway = s.plan.Gateway6()
	}
	if a.Is4() != to.Addr().Is4() || a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || s.plan.Net4.Contains(a) || s.plan.Net6.Contains(a) {
		return netip.AddrPortFrom(gateway, 0)
	}
	return client
}

func clientOf(a net.Addr) netip.AddrPort {
	var at netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		at = a.AddrPort()
	case *net.UDPAddr:
		at = a.AddrPort()
	}
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// join copies both ways until both ends have said all, or one breaks off.
func (s *side) join(inside insideConn, outside *net.TCPConn) {
	stop := context.AfterFunc(s.ctx, func() { abort(inside, outside) })
	defer stop()
	var both sync.WaitGroup
	pass := func(to interface {
		io.Writer
		CloseWrite() error
	}, from io.Reader,
	) {
		err := s.copyAll(to, from)
		if err == nil {
			err = to.CloseWrite()
		}
		if err != nil {
			abort(inside, outside)
		}
	}
	both.Go(func() { pass(outside, inside) })
	both.Go(func() { pass(inside, outside) })
	both.Wait()
	_, _ = inside.Close(), outside.Close() // all is said
}

// copyAll copies to the end. Neither side has a faster way.
func (s *side) copyAll(to io.Writer, from io.Reader) error {
	b, ok := s.buffers.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, copyBuffer)
		b = &fresh
	}
	defer s.buffers.Put(b)
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, *b)
	return err
}

// abort breaks a connection off on both sides.
func abort(inside insideConn, outside *net.TCPConn) {
	inside.ep.Abort()
	reset(outside)
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0) // sends RST
	_ = c.Close()      // it is broken
}
