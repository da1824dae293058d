package dns

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	maxReaders  = 4       // goroutines that read one UDP socket
	readBuffer  = 4 << 20 // of the kernel: some thousand questions that come at once
	idleTimeout = 10 * time.Second
	sendTimeout = 2 * time.Second
	retryAfter  = 100 * time.Millisecond // a socket that fails without being closed
	warnEvery   = 10 * time.Second
)

// service is the sockets of one network.
type service struct {
	server *Server
	udp    packetConn   // or nil
	tcp    net.Listener // or nil
	addr   netip.AddrPort
	done   chan struct{}
	wg     sync.WaitGroup // its readers
	stop   func() error   // closes all, once, and joins the readers

	mu     sync.Mutex
	conns  map[*conn]struct{} // nil once stopped
	warned time.Time          // when the log last heard of a failing socket
}

// packetConn is what is used of *net.UDPConn.
type packetConn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
	io.Closer
}

// wrapped makes a packetConn of one that is no *net.UDPConn.
type wrapped struct{ net.PacketConn }

func (w wrapped) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := w.ReadFrom(b)
	ap, _ := addrPort(from)
	return n, ap, err
}

func (w wrapped) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	return w.WriteTo(b, net.UDPAddrFromAddrPort(addr))
}

func newService(s *Server, udp net.PacketConn, tcp net.Listener) *service {
	v := &service{server: s, tcp: tcp, done: make(chan struct{}), conns: map[*conn]struct{}{}}
	v.stop = sync.OnceValue(v.close)
	if tcp != nil {
		v.addr, _ = addrPort(tcp.Addr())
	}
	if udp == nil {
		return v
	}
	v.addr, _ = addrPort(udp.LocalAddr())
	if c, ok := udp.(packetConn); ok {
		v.udp = c
	} else {
		v.udp = wrapped{udp}
	}
	enlarge(udp)
	return v
}

// enlarge asks for a larger receive buffer: beyond the host's limit if we may,
// else up to it. It is no failure to get none.
func enlarge(udp net.PacketConn) {
	if c, ok := udp.(interface{ SetReadBuffer(bytes int) error }); ok {
		_ = c.SetReadBuffer(readBuffer)
	}
	c, ok := udp.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, readBuffer)
		})
	}
}

// start begins to read.
func (v *service) start() {
	if v.udp != nil {
		for range min(max(runtime.GOMAXPROCS(0), 2), maxReaders) {
			v.wg.Go(v.readUDP)
		}
	}
	if v.tcp != nil {
		v.wg.Go(v.accept)
	}
}

// close is stop's work.
func (v *service) close() error {
	close(v.done)
	var errs []error
	if v.udp != nil {
		errs = append(errs, v.udp.Close())
	}
	if v.tcp != nil {
		errs = append(errs, v.tcp.Close())
	}
	v.mu.Lock()
	for c := range v.conns {
		_ = c.Conn.Close() // ends its reader, which takes leave
	}
	v.conns = nil
	v.mu.Unlock()
	v.wg.Wait()
	return errors.Join(errs...)
}

// again says whether to go on after an error of a socket, and waits a little.
func (v *service) again(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	v.warn(err)
	select {
	case <-v.done:
		return false
	case <-time.After(retryAfter):
		return true
	}
}

func (v *service) warn(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := time.Now(); now.Sub(v.warned) > warnEvery {
		v.warned = now
		v.server.log.Warn("a socket of the name server fails; it is tried again", "addr", v.addr, "err", err)
	}
}

// readUDP is one of the readers: what is answered at once is answered here,
// without another goroutine.
func (v *service) readUDP() {
	buf := make([]byte, maxQuery+1)
	for {
		n, from, err := v.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if !v.again(err) {
				return
			}
			continue
		}
		send := func(reply []byte) {
			_, _ = v.udp.WriteToUDPAddrPort(reply, from) // who has gone needs none
		}
		reply, f := v.server.handle(buf[:n], from, false)
		switch {
		case f != nil:
			v.server.later(f, send)
		case reply != nil:
			send(reply)
		}
	}
}
