package portmap

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Match names published ports that are to be published no more: those of the host from
// First to Last, or all that lead to the container's port Inside.
type Match struct {
	Protocol network.IPProtocol
	// HostIP is the address at which it was asked for; not valid: any.
	HostIP      netip.Addr
	First, Last uint16 // both 0 if Inside is set
	Inside      uint16
}

// NewMatch reads what names published ports: an address of the host, its port or a range of
// them as in 8000-8010, or instead of that a port of the container. Class InvalidArgument.
func NewMatch(hostIP netip.Addr, hostPort string, inside uint16, proto network.IPProtocol) (Match, error) {
	m := Match{Protocol: cmp.Or(proto, network.TCP), HostIP: hostIP.Unmap(), Inside: inside}
	var err error
	if m.First, m.Last, err = hostPorts(hostPort); err != nil {
		return m, err
	}
	if (m.First == 0) == (m.Inside == 0) {
		return m, invalid("a published port is named by a port of the host, or by one of the container")
	}
	port, _ := network.PortFrom(max(m.First, m.Inside), m.Protocol)
	return m, check(port)
}

func (m Match) String() string {
	switch {
	case m.Inside != 0:
		return fmt.Sprintf("%d/%s of the container", m.Inside, m.Protocol)
	case m.First != m.Last:
		return fmt.Sprintf("%d-%d/%s of the host", m.First, m.Last, m.Protocol)
	}
	return fmt.Sprintf("%d/%s of the host", m.First, m.Protocol)
}

// names says whether a binding is meant that has led to these ports.
func (m Match) names(w Want, led []Port) bool {
	switch {
	case w.Protocol != m.Protocol, m.HostIP.IsValid() && m.HostIP != w.HostIP:
		return false
	case m.Inside != 0:
		return w.Inside == m.Inside
	case len(led) > 0:
		n := led[0].Host.Port()
		return n >= m.First && n <= m.Last
	}
	return w.First >= m.First && w.First != 0 && w.Last <= m.Last
}

// Rest is what is left of bindings.
type Rest struct {
	Bindings network.PortMap
	All      bool   // all exposed ports are still to be published
	Gone     []Port // of those that the container has
}

// Without returns bindings without those that the matches name. all: all exposed ports are
// published; if one of those goes, the others become bindings of their own. have is what the bindings have led to,
// nothing if the container does not run. A match that names none is an error of class InvalidArgument.
func Without(bindings network.PortMap, exposed network.PortSet, all bool, have []Port, matches []Match) (Rest, error) {
	wants, err := Parse(bindings, exposed, all)
	if err != nil {
		return Rest{}, err
	}
	led := Assign(wants, have)
	named := make([]bool, len(matches))
	rest := Rest{Bindings: network.PortMap{}, All: all}
	for i, w := range wants {
		gone := false
		for j, m := range matches {
			if m.names(w, led[i]) {
				gone, named[j] = true, true
			}
		}
		port, _ := network.PortFrom(w.Inside, w.Protocol) // as it was read from one
		if gone {
			_, explicit := bindings[port]
			rest.All = rest.All && explicit
			rest.Gone = append(rest.Gone, led[i]...)
			continue
		}
		rest.Bindings[port] = append(rest.Bindings[port], w.binding())
	}
	if i := slices.Index(named, false); i >= 0 {
		return Rest{}, invalid("port %s is not published: see berth port", matches[i])
	}
	if rest.All { // they come by themselves
		maps.DeleteFunc(rest.Bindings, func(p network.Port, _ []network.PortBinding) bool { _, explicit := bindings[p]; return !explicit })
	}
	return rest, nil
}

// binding is the opposite of Parse.
func (w Want) binding() network.PortBinding {
	b := network.PortBinding{HostIP: w.HostIP}
	switch {
	case w.First == 0:
	case w.First == w.Last:
		b.HostPort = fmt.Sprint(w.First)
	default:
		b.HostPort = fmt.Sprintf("%d-%d", w.First, w.Last)
	}
	return b
}

// Twice is an error of class Conflict if two wants ask for the same port of the host.
func Twice(wants []Want) error {
	seen := map[busyKey][]netip.Addr{}
	for _, w := range wants {
		if w.First == 0 || w.First != w.Last {
			continue
		}
		k := busyKey{w.Protocol, w.First}
		for _, ip := range seen[k] {
			if !ip.IsValid() || !w.HostIP.IsValid() || overlap(ip, w.HostIP) {
				return errdefs.ErrConflict.WithMessage(fmt.Sprintf("port %d/%s of the host is asked for twice: publish it once", w.First, w.Protocol))
			}
		}
		seen[k] = append(seen[k], w.HostIP)
	}
	return nil
}
