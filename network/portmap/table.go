package portmap

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"

	"github.com/moby/moby/api/types/network"
)

// Held is a port of the host that somebody holds until he closes it.
type Held struct {
	io.Closer
	Port uint16
	// Arrives is where packets to it come in, if that is not the port itself.
	Arrives netip.AddrPort
}

// Bind holds a port; port 0 lets the kernel choose one. An error that is a
// Taker's may tell who has it.
type Bind func(proto network.IPProtocol, at netip.AddrPort) (Held, error)

// Taker is an error of Bind that knows more than its errno.
type Taker interface {
	error
	// ByWhom is " by NAME (process N)", or empty. It may take a while to find out.
	ByWhom() string
}

// Table holds ports. It is safe for concurrent use.
type Table struct {
	bind Bind
	here bool // ports are those of this process's network namespace

	mu    sync.Mutex
	holds map[key]*hold    // guarded by mu
	busy  map[busyKey]bool // guarded by mu; held at some address, or it was
}

type busyKey struct {
	proto network.IPProtocol
	port  uint16
}

type key struct {
	proto network.IPProtocol
	host  netip.AddrPort
}

type hold struct {
	socket  io.Closer // a file, where ports are this namespace's
	owner   string
	arrives netip.AddrPort
	of      key // set if it is held for the Loopback of that one
}

// NewTable returns an empty table. b is nil for the ports of this process's network
// namespace; whoever else holds them leads [::1] to containers as well.
func NewTable(b Bind) *Table {
	t := &Table{bind: b, here: b == nil, holds: map[key]*hold{}, busy: map[busyKey]bool{}}
	if b == nil {
		t.bind = bind
	}
	return t
}

// Reserve holds a port for each want and address family, all or none. families
// are the unspecified addresses of those that the container has. owner is the
// container's name, for whoever wants the same port. A port that is in use is of
// class Conflict.
func (t *Table) Reserve(owner string, wants []Want, families []netip.Addr) ([]Port, error) {
	return t.Agree(owner, nil, nil, wants, families)
}

// Restore holds ports that a running container has already, and writes where they
// arrive.
func (t *Table) Restore(owner string, ports []Port) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &reservation{Table: t, owner: owner}
	var errs []error
	for i, p := range ports {
		h, err := r.hold(p.Protocol, p.Host)
		errs = append(errs, err)
		ports[i].Arrives = h.Arrives
		if p.Loopback {
			r.holdLoopback(p)
		}
	}
	return errors.Join(errs...)
}

// Rename tells that the owner of ports has another name.
func (t *Table) Rename(ports []Port, owner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range ports {
		for _, h := range []*hold{t.holds[p.key()], t.loopbackOf(p)} {
			if h != nil {
				h.owner = owner
			}
		}
	}
}

// Release lets ports go.
func (t *Table) Release(ports []Port) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(ports)
}

func (t *Table) release(ports []Port) {
	for _, p := range ports {
		if t.loopbackOf(p) != nil {
			t.drop(p.loopback())
		}
		t.drop(p.key())
	}
}

func (t *Table) drop(k key) {
	if h := t.holds[k]; h != nil {
		if h.socket != nil {
			_ = h.socket.Close() // nothing is written to it here
		}
		delete(t.holds, k)
	}
}

// loopbackOf is what is held for a port's Loopback, or nil.
func (t *Table) loopbackOf(p Port) *hold {
	if h := t.holds[p.loopback()]; h != nil && h.of == p.key() {
		return h
	}
	return nil
}

// Relayed says whether what comes to the port of the host's [::1] is to be relayed to
// the container: the kernel cannot lead it there.
func (p Port) Relayed() bool {
	a := p.Host.Addr()
	return p.Protocol != network.SCTP && (p.Loopback || a == netip.IPv6Loopback() || a == netip.IPv6Unspecified())
}

// Socket returns the socket at which what comes to the [::1] of a held port arrives, nil if
// there is none. One of TCP listens from then on. It is the table's, and closed
// when the port is released.
func (t *Table) Socket(proto string, host netip.AddrPort) (*os.File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := Port{Protocol: network.IPProtocol(proto), Host: host}
	h := t.holds[p.key()]
	if host.Addr().Is4() {
		h = t.loopbackOf(p)
	}
	if h == nil {
		return nil, nil //nolint:nilnil // none, which is no error
	}
	socket, ok := h.socket.(*os.File)
	if !ok {
		return nil, nil //nolint:nilnil // it is somebody else's
	}
	if err := listen(socket, p.Protocol); err != nil {
		return nil, fmt.Errorf("listen at port %s: %w", p, err)
	}
	return socket, nil
}
