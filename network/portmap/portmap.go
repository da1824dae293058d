// Package portmap reserves ports of the host for containers: it chooses among
// what a request allows, and holds each one so that no other program gets it.
//
// Level: L2, a subroom of network.
// Owns: the sockets that hold ports; the words about who has one.
// May import: moby/moby/api.
// Must not know: where packets to a port are sent.
//
// A port is held by a socket that is bound and does not listen: the kernel then
// refuses it to others (bind(2), EADDRINUSE), and what comes there without
// being sent on to the container is refused at once. One at which the host's [::1]
// comes in listens as soon as somebody asks for it with Socket.
package portmap

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

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
	// Loopback: the same port of [::1] is held with it, as the container has no IPv6
	// address, and asked for is every address.
	Loopback bool `json:",omitempty"`
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

func (p Port) key() key { return key{p.Protocol, p.Host} }

// loopback is the same port of the host's [::1].
func (p Port) loopback() key {
	return key{p.Protocol, netip.AddrPortFrom(netip.IPv6Loopback(), p.Host.Port())}
}

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

// overlap says whether packets to one address may be packets to the other.
func overlap(a, b netip.Addr) bool {
	return a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}

// sameFamily says whether one of families is ip's.
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
