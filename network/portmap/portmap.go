// Package portmap reserves ports of the host for containers: it chooses among
// what a request allows, and holds each one so that no other program gets it.
//
// Level: L2, a subroom of network.
// Owns: the sockets that hold ports; the words about who has one.
// May import: moby/moby/api.
// Must not know: where packets to a port are sent.
//
// A port is held by a socket that is bound and never listens: the kernel then
// refuses it to others (bind(2), EADDRINUSE), and what comes there without
// being sent on to the container is refused at once.
package portmap

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Want is one port of a container that is to be published.
type Want struct {
	Protocol network.IPProtocol
	Inside   uint16
	// HostIP is an address of the host; not valid: every one.
	HostIP netip.Addr
	// First and Last are the ports of the host to choose from; both 0: any free one.
	First, Last uint16
}

// Port is a port that is held.
type Port struct {
	Protocol network.IPProtocol
	Inside   uint16
	Host     netip.AddrPort
	// Arrives is where packets to it come in, if that is not Host.
	Arrives netip.AddrPort `json:",omitzero"`
}

// At is where packets to the port come in.
func (p Port) At() netip.AddrPort {
	if p.Arrives.IsValid() {
		return p.Arrives
	}
	return p.Host
}

func (p Port) String() string { return fmt.Sprintf("%s/%s", p.Host, p.Protocol) }

// Parse reads the port bindings of a request, and with all set, asks for a free
// port for each exposed port that has none.
func Parse(bindings network.PortMap, exposed network.PortSet, all bool) ([]Want, error) {
	var wants []Want
	for _, port := range sorted(bindings) {
		list := bindings[port]
		if err := check(port); err != nil {
			return nil, err
		}
		if len(list) == 0 {
			list = []network.PortBinding{{}}
		}
		for _, b := range list {
			first, last, err := hostPorts(b.HostPort)
			if err != nil {
				return nil, fmt.Errorf("publish port %s: %w", port, err)
			}
			wants = append(wants, Want{Protocol: port.Proto(), Inside: port.Num(), HostIP: b.HostIP.Unmap(), First: first, Last: last})
		}
	}
	if all {
		for _, port := range sorted(exposed) {
			if err := check(port); err != nil {
				return nil, err
			}
			if len(bindings[port]) == 0 {
				wants = append(wants, Want{Protocol: port.Proto(), Inside: port.Num()})
			}
		}
	}
	if len(wants) > maxPorts {
		return nil, invalid("%d ports are to be published: at most %d are", len(wants), maxPorts)
	}
	return wants, nil
}

// sorted are the keys of m, so that the same request always gets the same.
func sorted[V any](m map[network.Port]V) []network.Port {
	return slices.SortedFunc(maps.Keys(m), func(a, b network.Port) int {
		return cmp.Or(cmp.Compare(a.Num(), b.Num()), strings.Compare(string(a.Proto()), string(b.Proto())))
	})
}

// maxPorts bounds what one container publishes: all ports of three protocols.
const maxPorts = 3 * 65535

func check(p network.Port) error {
	if p.Num() == 0 {
		return invalid("port %s cannot be published: ports are 1 to 65535", p)
	}
	switch p.Proto() {
	case network.TCP, network.UDP, network.SCTP:
		return nil
	}
	return invalid("port %s: protocol %q is unknown: use tcp, udp or sctp", p, p.Proto())
}

// hostPorts reads "", "8080" or "8000-8010".
func hostPorts(s string) (first, last uint16, err error) {
	if s == "" {
		return 0, 0, nil
	}
	a, b, isRange := strings.Cut(s, "-")
	if !isRange {
		b = a
	}
	x, errA := strconv.ParseUint(a, 10, 16)
	y, errB := strconv.ParseUint(b, 10, 16)
	if errA != nil || errB != nil || x > y || isRange && x == 0 {
		return 0, 0, invalid("invalid host port %q: give a number up to 65535 or a range as 8000-8010", s)
	}
	return uint16(x), uint16(y), nil
}

// Held is a port of the host that somebody holds until he closes it.
type Held struct {
	io.Closer // nil for a protocol that the kernel has no sockets for
	Port      uint16
	// Arrives is where packets to it come in, if that is not the port itself.
	Arrives netip.AddrPort
}

// Bind holds a port; port 0 lets the kernel choose one. An error that is a
// Taker's may tell who has it.
type Bind func(proto network.IPProtocol, at netip.AddrPort) (Held, error)

// Taker is an error of Bind that knows more than its errno.
type Taker interface {
	error
	// ByWhom is " by NAME (process N)", or empty.
	ByWhom() string
}

// Table holds ports. It is safe for concurrent use.
type Table struct {
	bind Bind

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
	socket io.Closer // nil for a protocol that the kernel has no sockets for
	owner  string
}

// NewTable returns an empty table. bind is nil for the ports of this process's
// network namespace.
func NewTable(b Bind) *Table {
	if b == nil {
		b = bind
	}
	return &Table{bind: b, holds: map[key]*hold{}, busy: map[busyKey]bool{}}
}

// tries bounds how often a free port is asked for until one is free in both families.
const tries = 32

// Reserve holds a port for each want and address family, all or none. families
// are the unspecified addresses of those that the container has. owner is the
// container's name, for whoever wants the same port. A port that is in use is of
// class Conflict.
func (t *Table) Reserve(owner string, wants []Want, families []netip.Addr) (_ []Port, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var got []Port
	defer func() {
		if err != nil {
			t.release(got)
		}
	}()
	for _, w := range wants {
		ips := families
		if w.HostIP.IsValid() {
			ips = []netip.Addr{w.HostIP}
			if !sameFamily(w.HostIP, families) {
				return nil, invalid("publish port %d/%s at %s: the container's network has no %s", w.Inside, w.Protocol, w.HostIP, family(w.HostIP))
			}
		}
		ports, err := t.take(owner, w, ips)
		if err != nil {
			return nil, err
		}
		got = append(got, ports...)
	}
	return got, nil
}

// Restore holds ports that a running container has already, and writes where they
// arrive.
func (t *Table) Restore(owner string, ports []Port) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for i, p := range ports {
		h, err := t.hold(owner, p.Protocol, p.Host)
		errs = append(errs, err)
		ports[i].Arrives = h.Arrives
	}
	return errors.Join(errs...)
}

// Rename tells that the owner of ports has another name.
func (t *Table) Rename(ports []Port, owner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range ports {
		if h := t.holds[key{p.Protocol, p.Host}]; h != nil {
			h.owner = owner
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
		k := key{p.Protocol, p.Host}
		if h := t.holds[k]; h != nil {
			if h.socket != nil {
				_ = h.socket.Close() // nothing was ever written to it
			}
			delete(t.holds, k)
		}
	}
}

// take holds one port number at all addresses.
func (t *Table) take(owner string, w Want, ips []netip.Addr) ([]Port, error) {
	first, last := int(w.First), int(w.Last)
	if first == 0 {
		return t.takeAny(owner, w, ips)
	}
	var why error
	for n := first; n <= last; n++ {
		got, err := t.takeAt(owner, w, ips, uint16(n))
		if err == nil {
			return got, nil
		}
		if !errdefs.IsConflict(err) {
			return nil, err
		}
		why = err
	}
	if first != last {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("publish port %d/%s: all ports %d-%d of the host are in use: choose others", w.Inside, w.Protocol, first, last))
	}
	return nil, why
}

func (t *Table) takeAny(owner string, w Want, ips []netip.Addr) ([]Port, error) {
	for range tries {
		got, err := t.takeAt(owner, w, ips, 0)
		if err == nil || !errdefs.IsConflict(err) {
			return got, err
		}
	}
	return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("publish port %d/%s: no port of the host is free", w.Inside, w.Protocol))
}

// takeAt holds port n at all addresses; 0 lets the kernel choose.
func (t *Table) takeAt(owner string, w Want, ips []netip.Addr, n uint16) (got []Port, err error) {
	for _, ip := range ips {
		h, err := t.hold(owner, w.Protocol, netip.AddrPortFrom(ip, n))
		if err != nil {
			t.release(got)
			return nil, fmt.Errorf("publish port %d/%s: %w", w.Inside, w.Protocol, err)
		}
		n = h.Port
		got = append(got, Port{Protocol: w.Protocol, Inside: w.Inside, Host: netip.AddrPortFrom(ip, n), Arrives: h.Arrives})
	}
	return got, nil
}

// hold binds a socket, and tells who has the port if that fails.
func (t *Table) hold(owner string, proto network.IPProtocol, at netip.AddrPort) (Held, error) {
	for k, h := range t.holds {
		if !t.busy[busyKey{proto, at.Port()}] {
			break // nobody has it at any address: the usual case, and there may be thousands of others
		}
		if k.proto == proto && at.Port() != 0 && k.host.Port() == at.Port() && overlap(k.host.Addr(), at.Addr()) {
			return Held{}, errdefs.ErrConflict.WithMessage(fmt.Sprintf("port %s/%s of the host is published by container %s: choose another", at, proto, h.owner))
		}
	}
	held, err := t.bind(proto, at)
	var taker Taker
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		by := ""
		if errors.As(err, &taker) {
			by = taker.ByWhom()
		}
		return held, errdefs.ErrConflict.WithMessage(fmt.Sprintf("port %s/%s of the host is in use%s: choose another", at, proto, by))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return held, invalid("the host has no address %s", at.Addr())
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return held, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"port %s/%s of the host is not for ordinary users: choose one from 1024 on, or let them have it, as root: \"sysctl net.ipv4.ip_unprivileged_port_start=%d\"", at, proto, at.Port()))
	case err != nil:
		return held, fmt.Errorf("reserve port %s/%s of the host: %w", at, proto, err)
	}
	t.holds[key{proto, netip.AddrPortFrom(at.Addr(), held.Port)}] = &hold{held.Closer, owner}
	t.busy[busyKey{proto, held.Port}] = true
	return held, nil
}

// overlap says whether packets to one address may be packets to the other.
func overlap(a, b netip.Addr) bool {
	return a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}

func sameFamily(ip netip.Addr, families []netip.Addr) bool {
	for _, f := range families {
		if f.Is4() == ip.Is4() {
			return true
		}
	}
	return false
}

func family(ip netip.Addr) string {
	if ip.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
