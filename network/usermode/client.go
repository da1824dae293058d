package usermode

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// openLimit bounds how long the other side may take for what needs nobody else.
const openLimit = 10 * time.Second

// Client is the inside's way to the outside. It is safe for concurrent use.
type Client struct {
	mu   sync.Mutex // held while a request is sent
	conn *net.UnixConn
	plan Plan

	places   sync.Mutex
	arrivals map[netip.Addr]int // guarded by places; which address stands for one of the host's
}

// NewClient returns the inside's side of a pair.
func NewClient(socket *os.File) (*Client, error) {
	conn, err := connOf(socket)
	if err != nil {
		return nil, fmt.Errorf("connect to berthd outside: %w", err)
	}
	return &Client{conn: conn, arrivals: map[netip.Addr]int{}}, nil
}

// call sends a request and awaits its answer. The socket of the answer comes back
// open, as long as the caller wants it.
func (c *Client) call(ctx context.Context, r request, file *os.File) (a answer, files []*os.File, _ *net.UnixConn, err error) {
	ours, theirs, err := Pair()
	if err != nil {
		return a, nil, nil, err
	}
	reply, err := connOf(ours)
	if err != nil {
		_ = theirs.Close() // nothing was sent
		return a, nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = reply.Close() // which ends the request
		}
	}()
	carried := []*os.File{theirs}
	if file != nil {
		carried = append(carried, file)
	}
	c.mu.Lock()
	err = send(c.conn, r, carried...)
	c.mu.Unlock()
	_ = theirs.Close() // the other side has it
	if err != nil {
		return a, nil, nil, fmt.Errorf("ask berthd outside: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = reply.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	files, err = receive(reply, &a)
	switch {
	case ctx.Err() != nil:
		_ = closeAll(files) // nobody waits for them
		return a, nil, nil, context.Cause(ctx)
	case err != nil:
		return a, nil, nil, fmt.Errorf("ask berthd outside: %w", err)
	case a.Error != "":
		return a, nil, nil, remote{a}
	}
	return a, files, reply, nil
}

// Link hands the device out. It returns its addresses, and the subnets that the
// host has something in.
func (c *Client) Link(device *os.File) (Plan, []netip.Prefix, error) {
	ctx, stop := context.WithTimeout(context.Background(), openLimit)
	defer stop()
	a, files, reply, err := c.call(ctx, request{Verb: verbLink}, device)
	if err != nil {
		return Plan{}, nil, fmt.Errorf("join the network of the host: %w", err)
	}
	_, _ = closeAll(files), reply.Close() // it is done
	if err := a.Plan.check(); err != nil {
		return Plan{}, nil, err
	}
	c.plan = a.Plan
	return a.Plan, a.Used, nil
}

// Dial connects to an address in the host's network, with names as the host knows them.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	_, files, reply, err := c.call(ctx, request{Verb: verbDial, Protocol: network, Address: address}, nil)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	_ = reply.Close() // it is done
	if len(files) != 1 {
		_ = closeAll(files)
		return nil, fmt.Errorf("dial %s: %d files came", address, len(files))
	}
	defer files[0].Close() // the connection has its own
	return net.FileConn(files[0])
}

// Open opens a port of the host's until the closer is closed, and tells where its
// connections arrive: nowhere else than with the same number at this side's device,
// if arrives is not valid.
func (c *Client) Open(protocol string, at netip.AddrPort) (closer *net.UnixConn, port uint16, arrives netip.AddrPort, err error) {
	if err := c.plan.check(); err != nil {
		return nil, 0, arrives, err
	}
	place, err := c.place(at.Addr())
	if err != nil {
		return nil, 0, arrives, err
	}
	ctx, stop := context.WithTimeout(context.Background(), openLimit)
	defer stop()
	r := request{Verb: verbOpen, Protocol: protocol, At: at, Arrives: netip.AddrPortFrom(c.plan.arrival(at.Addr(), place), at.Port())}
	a, files, reply, err := c.call(ctx, r, nil)
	if err != nil {
		return nil, 0, arrives, err
	}
	_ = closeAll(files)
	if place > 0 {
		arrives = netip.AddrPortFrom(r.Arrives.Addr(), a.Port)
	}
	return reply, a.Port, arrives, nil
}

// place is the number of the address that stands for one of the host's; 0 for all
// of them.
func (c *Client) place(host netip.Addr) (int, error) {
	if host.IsUnspecified() {
		return 0, nil
	}
	c.places.Lock()
	defer c.places.Unlock()
	n, ok := c.arrivals[host]
	if !ok {
		if n = len(c.arrivals) + 1; n > maxArrivals {
			return 0, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("ports are published at %d addresses of the host: no more are possible for an ordinary user", maxArrivals))
		}
		c.arrivals[host] = n
	}
	return n, nil
}
