package firewall

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
)

// Names of the sets and maps.
const (
	setBridges     = "bridges"  // interfaces
	setWithin      = "within"   // each bridge twice: in and out by it
	setInternal    = "internal" // bridges of internal networks
	setUplinks4    = "uplinks4" // interfaces
	setUplinks6    = "uplinks6"
	setMasquerade4 = "masquerade4" // subnets
	setMasquerade6 = "masquerade6"
	setResolvers4  = "resolvers4" // bridge . name server, of isolated networks
	setResolvers6  = "resolvers6"
	setHome4       = "home4" // bridge . subnet
	setHome6       = "home6"
	mapPorts4      = "ports4" // protocol . port : container
	mapPorts6      = "ports6"
	mapPortsAt4    = "ports_at4" // host address . protocol . port : container
	mapPortsAt6    = "ports_at6"
)

// sets returns the sets and maps of the table, empty. The ids are for the rules of
// the same batch; the library would number them with a counter of the whole process.
func sets(table *nftables.Table) []*nftables.Set {
	ifname, proto, port := nftables.TypeIFName, nftables.TypeInetProto, nftables.TypeInetService
	ip4, ip6, join := nftables.TypeIPAddr, nftables.TypeIP6Addr, nftables.MustConcatSetType
	all := []*nftables.Set{
		{Name: setBridges, KeyType: ifname},
		{Name: setWithin, KeyType: join(ifname, ifname), Concatenation: true},
		{Name: setInternal, KeyType: ifname},
		{Name: setUplinks4, KeyType: ifname},
		{Name: setUplinks6, KeyType: ifname},
		{Name: setMasquerade4, KeyType: ip4, Interval: true},
		{Name: setMasquerade6, KeyType: ip6, Interval: true},
		{Name: setResolvers4, KeyType: join(ifname, ip4), Concatenation: true},
		{Name: setResolvers6, KeyType: join(ifname, ip6), Concatenation: true},
		{Name: setHome4, KeyType: join(ifname, ip4), Interval: true, Concatenation: true},
		{Name: setHome6, KeyType: join(ifname, ip6), Interval: true, Concatenation: true},
		{Name: mapPorts4, KeyType: join(proto, port), DataType: join(ip4, port), IsMap: true, Concatenation: true},
		{Name: mapPorts6, KeyType: join(proto, port), DataType: join(ip6, port), IsMap: true, Concatenation: true},
		{Name: mapPortsAt4, KeyType: join(ip4, proto, port), DataType: join(ip4, port), IsMap: true, Concatenation: true},
		{Name: mapPortsAt6, KeyType: join(ip6, proto, port), DataType: join(ip6, port), IsMap: true, Concatenation: true},
	}
	for i, s := range all {
		s.Table, s.ID = table, uint32(i+1)
		if s.KeyType.Name == ifname.Name {
			s.KeyByteOrder = binaryutil.NativeEndian // nft reads a string's bytes in the host's order
		}
	}
	return all
}

func addSets(c *nftables.Conn, table *nftables.Table) error {
	for _, s := range sets(table) {
		if err := c.AddSet(s, nil); err != nil {
			return err
		}
	}
	return nil
}

// elements are elements of sets and maps, by the set's name. A group is added or
// removed as one: an interval's start and end.
type elements map[string][]group

type group []nftables.SetElement

func newElements() elements { return elements{} }

func (e elements) put(set string, g ...nftables.SetElement) { e[set] = append(e[set], g) }

// add asks the kernel to put the elements into the sets.
func (e elements) add(c *nftables.Conn, table *nftables.Table) error {
	return e.send(table, c.SetAddElements)
}

// remove asks the kernel to take the elements out of the sets.
func (e elements) remove(c *nftables.Conn, table *nftables.Table) error {
	return e.send(table, c.SetDeleteElements)
}

func (e elements) send(table *nftables.Table, send func(*nftables.Set, []nftables.SetElement) error) error {
	for _, s := range sets(table) {
		for part := range slices.Chunk(slices.Concat(e[s.Name]...), perMessage) {
			if err := send(s, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// each splits elements into the smallest parts.
func (e elements) each() []elements {
	var all []elements
	for _, set := range slices.Sorted(maps.Keys(e)) {
		for _, g := range e[set] {
			all = append(all, elements{set: {g}})
		}
	}
	return all
}

func (e elements) addNetwork(n Network) error {
	if n.Bridge == "" || len(n.Bridge) >= ifNameSize || strings.ContainsAny(n.Bridge, "/ \x00") {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid name of a bridge: %q", n.Bridge))
	}
	name := ifname(n.Bridge)
	e.put(setBridges, nftables.SetElement{Key: name})
	if !n.Isolated {
		e.put(setWithin, nftables.SetElement{Key: slices.Concat(name, name)})
	}
	for _, r := range n.Resolvers {
		set := setResolvers6
		if r.Is4() {
			set = setResolvers4
		}
		if n.Isolated {
			e.put(set, nftables.SetElement{Key: slices.Concat(name, r.AsSlice())})
		}
	}
	if n.Internal {
		e.put(setInternal, nftables.SetElement{Key: name})
	}
	for _, p := range n.Subnets {
		if !p.IsValid() || p.Addr().Is4In6() {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid subnet of bridge %s: %s", n.Bridge, p))
		}
		e.putSubnet(name, p.Masked(), n.Masquerade && !n.Internal)
	}
	return nil
}

// putSubnet adds a prefix as the kernel has intervals: in a concatenation first and
// last, alone the first and, as another element, the first one after.
func (e elements) putSubnet(bridge []byte, p netip.Prefix, masquerade bool) {
	home, outside := setHome6, setMasquerade6
	if p.Addr().Is4() {
		home, outside = setHome4, setMasquerade4
	}
	first, last := p.Addr(), lastOf(p)
	e.put(home, nftables.SetElement{
		Key: slices.Concat(bridge, first.AsSlice()), KeyEnd: slices.Concat(bridge, last.AsSlice()),
	})
	if !masquerade {
		return
	}
	g := group{{Key: first.AsSlice()}}
	if end := last.Next(); end.IsValid() { // nothing comes after the last address of all
		g = append(g, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
	}
	e.put(outside, g...)
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

func (e elements) addPorts(ports []Port) error {
	seen := map[string]netip.AddrPort{} // by set and key: where the port leads
	for _, p := range ports {
		set, element, err := p.element()
		if err != nil {
			return err
		}
		key := set + string(element.Key)
		to, again := seen[key]
		if again && to != p.To {
			return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf(
				"port %s is published twice: for %s and for %s", p, to, p.To,
			))
		}
		if !again {
			seen[key] = p.To
			e.put(set, element)
		}
	}
	return nil
}

// endPorts is addPorts for what is to be removed: it does not matter where a port leads.
func (e elements) endPorts(ports []Port) error {
	seen := map[string]bool{}
	for _, p := range ports {
		set, element, err := p.element()
		if err != nil {
			return err
		}
		if key := set + string(element.Key); !seen[key] {
			seen[key] = true
			e.put(set, element)
		}
	}
	return nil
}

// String returns the port as in 0.0.0.0:8080/tcp.
func (p Port) String() string { return p.Host.String() + "/" + p.Protocol }

// element returns the map of a port, and its element.
func (p Port) element() (string, nftables.SetElement, error) {
	proto, ok := map[string]byte{"tcp": syscall.IPPROTO_TCP, "udp": syscall.IPPROTO_UDP, "sctp": 132}[p.Protocol]
	host, to := p.Host.Addr().Unmap(), p.To.Addr().Unmap()
	switch {
	case !ok:
		return "", nftables.SetElement{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"port %s: no protocol %q: use tcp, udp or sctp", p, p.Protocol,
		))
	case !host.IsValid() || !to.IsValid() || p.Host.Port() == 0 || p.To.Port() == 0 ||
		to.IsUnspecified() || host.Is4() != to.Is4():
		return "", nftables.SetElement{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"port %s cannot lead to %s: both need an address of the same family and a port", p, p.To,
		))
	}
	set, key := mapPorts6, slices.Concat(padded(proto), padPort(p.Host.Port()))
	if host.Is4() {
		set = mapPorts4
	}
	if !host.IsUnspecified() {
		key = slices.Concat(host.AsSlice(), key)
		set = mapPortsAt6
		if host.Is4() {
			set = mapPortsAt4
		}
	}
	return set, nftables.SetElement{Key: key, Val: slices.Concat(to.AsSlice(), padPort(p.To.Port()))}, nil
}

// describe names some ports in an error.
func describe(ports []Port) string {
	if len(ports) == 0 {
		return "no ports"
	}
	if len(ports) == 1 {
		return "port " + ports[0].String()
	}
	return fmt.Sprintf("port %s and %d more", ports[0], len(ports)-1)
}

// Parts of a concatenation fill registers of four bytes.

func padded(b byte) []byte { return []byte{b, 0, 0, 0} }

func padPort(port uint16) []byte { return append(binary.BigEndian.AppendUint16(nil, port), 0, 0) }

// ifNameSize is the kernel's IFNAMSIZ.
const ifNameSize = 16

// ifname returns an interface's name as the kernel compares it.
func ifname(name string) []byte {
	b := make([]byte, ifNameSize)
	copy(b, name)
	return b
}
