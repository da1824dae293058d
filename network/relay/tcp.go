package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// dialTime bounds how long a container is waited for.
const dialTime = 10 * time.Second

// accept takes the connections that wait.
func (p *port) accept() error {
	for {
		var fd int
		err := onFD(p.socket, func(s int) (err error) {
			fd, _, err = syscall.Accept4(s, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			return err
		})
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
			return err
		case errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EINTR):
			continue
		case err != nil: // the socket is no listener: nothing comes any more
			return err
		}
		f := os.NewFile(uintptr(fd), "connection")
		c, err := net.FileConn(f)
		_ = f.Close() // c has its own
		if err != nil {
			return err
		}
		client, ok := c.(*net.TCPConn)
		if !ok || !toLoopback(c.LocalAddr()) || !p.enter(client) {
			reset(c)
			continue
		}
		p.all.Go(func() {
			defer p.leave(client)
			p.relay(client)
		})
	}
}

// toLoopback: what comes to other addresses is led by the kernel, and if it is not, it has
// no business here.
func toLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// reset ends a connection so that the other side sees that it is no orderly end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // or it is no reset
	}
	_ = c.Close()
}

// relay copies both ways until both have ended.
func (p *port) relay(client *net.TCPConn) {
	server, err := p.dial()
	if err != nil {
		reset(client)
		return
	}
	p.mu.Lock()
	ended := p.ctx.Err() != nil
	if !ended {
		p.open[server] = true
	}
	p.mu.Unlock()
	if !ended {
		var both sync.WaitGroup
		both.Go(func() { pass(server, client) })
		pass(client, server)
		both.Wait()
	}
	p.mu.Lock()
	delete(p.open, server)
	p.mu.Unlock()
	_, _ = client.Close(), server.Close() // each side has seen its end
}

// dial connects to the first of the targets that accepts.
func (p *port) dial() (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, dialTime)
	defer cancel()
	var d net.Dialer
	var errs []error
	for _, to := range p.to {
		c, err := d.DialContext(ctx, "tcp", to.String())
		if err == nil {
			return c.(*net.TCPConn), nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// pass copies one way (splice(2)) and passes the end on. Something else than an end ends
// both ways.
func pass(to, from *net.TCPConn) {
	_, err := io.Copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil && !errors.Is(err, syscall.ENOTCONN) {
		reset(to)
		reset(from)
	}
}

// addrPort is an address of UDP as netip has it.
func addrPort(sa syscall.Sockaddr) netip.AddrPort {
	if a, ok := sa.(*syscall.SockaddrInet6); ok {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
