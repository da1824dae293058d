// Package ipam chooses subnets for networks and hands out their addresses.
//
// Level: L2, a subroom of network.
// Owns: the rules for subnets, ranges, gateways and addresses in use.
// May import: the standard library, containerd/errdefs.
// Must not know: the kernel, where leases are recorded, who uses an address.
//
// A [Pool] is one subnet. It is made anew from the records when berthd starts:
// each address in use is taken again by name.
package ipam

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/containerd/errdefs"
)

// Config describes one subnet.
type Config struct {
	Subnet  netip.Prefix
	Range   netip.Prefix // where addresses that nobody asked for by name come from; zero: the whole subnet
	Gateway netip.Addr   // zero: the first usable address
	Taken   []netip.Addr // never handed out: auxiliary addresses
	// Shared: others hand out the rest of the subnet, so that the name server's address
	// is one of the range too.
	Shared bool
}

// Pool hands out the addresses of one subnet. It is safe for concurrent use.
type Pool struct {
	subnet      netip.Prefix
	first, last netip.Addr // of the range, usable
	gateway     netip.Addr
	resolver    netip.Addr
	reserved    map[netip.Addr]string // and what for

	mu    sync.Mutex
	taken map[netip.Addr]bool
	next  netip.Addr // where the search for a free one begins
}

// New checks a subnet and makes its pool. Class InvalidArgument.
func New(c Config) (*Pool, error) {
	if err := CheckSubnet(c.Subnet); err != nil {
		return nil, err
	}
	p := &Pool{subnet: c.Subnet, reserved: map[netip.Addr]string{}, taken: map[netip.Addr]bool{}}
	for _, a := range c.Taken {
		if !c.Subnet.Contains(a) {
			return nil, invalid("auxiliary address %s is not in the subnet %s", a, c.Subnet)
		}
		p.reserved[a] = "an auxiliary address of the network"
	}
	if err := p.reserveGateway(c.Gateway); err != nil {
		return nil, err
	}
	among := c.Subnet
	if c.Shared && c.Range.IsValid() && c.Range.Overlaps(c.Subnet) {
		among = c.Range
	}
	p.reserveResolver(among)
	if err := p.setRange(c.Range); err != nil {
		return nil, err
	}
	return p, nil
}

// notForNetworks are the ranges no container network can have.
func notForNetworks() map[string]string {
	return map[string]string{
		"0.0.0.0/8": "this-host", "127.0.0.0/8": "loopback", "169.254.0.0/16": "link-local", "224.0.0.0/4": "multicast",
		"::/127": "loopback", "::ffff:0:0/96": "IPv4-mapped", "fe80::/10": "link-local", "ff00::/8": "multicast",
	}
}

// CheckSubnet says whether a network can have this subnet. Class InvalidArgument.
func CheckSubnet(s netip.Prefix) error {
	if !s.IsValid() {
		return invalid("invalid subnet: give one as ADDRESS/BITS, as 10.1.2.0/24")
	}
	if s.Masked() != s {
		return invalid("invalid subnet %s: the address has bits beyond the mask, did you mean %s", s, s.Masked())
	}
	for r, what := range notForNetworks() {
		if s.Overlaps(netip.MustParsePrefix(r)) {
			return invalid("invalid subnet %s: it overlaps the %s addresses %s, choose a private range as 10.0.0.0/8 or fd00::/8", s, what, r)
		}
	}
	if s.IsSingleIP() {
		return invalid("subnet %s is too small: it has no room for a gateway and a container, use /%d or larger", s, s.Bits()-1)
	}
	return nil
}

func (p *Pool) reserveGateway(want netip.Addr) error {
	first, last := usable(p.subnet)
	if want.IsValid() {
		switch {
		case !p.subnet.Contains(want):
			return invalid("gateway %s is not in the subnet %s", want, p.subnet)
		case want.Less(first) || last.Less(want):
			return invalid("gateway %s is the network or broadcast address of the subnet %s: use one of %s to %s", want, p.subnet, first, last)
		case p.reserved[want] != "":
			return invalid("gateway %s is an auxiliary address too: give the gateway another one", want)
		}
		p.gateway = want
	} else {
		for p.gateway = first; p.reserved[p.gateway] != ""; p.gateway = p.gateway.Next() {
			if p.gateway == last {
				return invalid("subnet %s is too small: its auxiliary addresses leave none for a gateway", p.subnet)
			}
		}
	}
	p.reserved[p.gateway] = "the gateway of the network"
	return nil
}

// reserveResolver sets the name server's address aside, the last one of among, unless
// no container would have one then.
func (p *Pool) reserveResolver(among netip.Prefix) {
	first, last := usable(p.subnet)
	if first.Less(among.Addr()) {
		first = among.Addr()
	}
	if l := lastOf(among); l.Less(last) {
		last = l
	}
	var free []netip.Addr // the two highest
	for a := last; !a.Less(first) && len(free) < 2; a = a.Prev() {
		if p.reserved[a] == "" {
			free = append(free, a)
		}
		if a == first {
			break
		}
	}
	if len(free) == 2 {
		p.resolver = free[0]
		p.reserved[p.resolver] = "the name server of the network"
	}
}

func (p *Pool) setRange(r netip.Prefix) error {
	p.first, p.last = usable(p.subnet)
	if r.IsValid() {
		switch {
		case r.Masked() != r:
			return invalid("invalid IP range %s: the address has bits beyond the mask, did you mean %s", r, r.Masked())
		case !p.subnet.Contains(r.Addr()) || r.Bits() < p.subnet.Bits():
			return invalid("IP range %s is not in the subnet %s", r, p.subnet)
		}
		// All of the range's addresses: it has no broadcast address of its own.
		if p.first.Less(r.Addr()) {
			p.first = r.Addr()
		}
		if l := lastOf(r); l.Less(p.last) {
			p.last = l
		}
	}
	p.next = p.first
	if !p.last.Less(p.first) { // else the range is nothing but the network or broadcast address
		if _, ok := p.search(); ok {
			return nil
		}
	}
	if r.IsValid() {
		return invalid("IP range %s is too small: no address is left for a container beside the reserved ones", r)
	}
	return invalid("subnet %s is too small: no address is left for a container beside the reserved ones", p.subnet)
}

// Subnet is the pool's subnet.
func (p *Pool) Subnet() netip.Prefix { return p.subnet }

// Gateway is the gateway's address.
func (p *Pool) Gateway() netip.Addr { return p.gateway }

// Resolver is the address kept for the network's name server: the last usable
// one that is not the gateway or auxiliary. Zero if the subnet is so small that
// no container would have one.
func (p *Pool) Resolver() netip.Addr { return p.resolver }

// Take takes the address want, which may be outside of the range but not of the
// subnet: class InvalidArgument if it is outside or reserved, Conflict if it is in
// use. If want is zero it takes a free one of the range, class ResourceExhausted
// if there is none. These rise from one call to the next and begin anew at the
// end, so that an address that was released rests as long as possible: neighbours
// and clients may remember whose it was.
func (p *Pool) Take(want netip.Addr) (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if want.IsValid() {
		if err := p.checkLocked(want); err != nil {
			return netip.Addr{}, err
		}
		p.taken[want] = true
		return want, nil
	}
	a, ok := p.search()
	if !ok {
		return netip.Addr{}, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf(
			"no free address in %s to %s: remove containers from the network, or make one with a larger subnet", p.first, p.last))
	}
	p.taken[a] = true
	p.next = p.after(a)
	return a, nil
}

func (p *Pool) checkLocked(want netip.Addr) error {
	first, last := usable(p.subnet)
	switch {
	case !p.subnet.Contains(want):
		return invalid("address %s is not in the subnet %s", want, p.subnet)
	case want.Less(first) || last.Less(want):
		return invalid("address %s is the network or broadcast address of the subnet %s: use one of %s to %s", want, p.subnet, first, last)
	case p.reserved[want] != "":
		return invalid("address %s is %s: use another one of %s", want, p.reserved[want], p.subnet)
	case p.taken[want]:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("address %s is in use: use another one of %s", want, p.subnet))
	}
	return nil
}

// search finds a free address from p.next on. It passes each that is not free at
// most once, so that its time does not depend on the size of the subnet.
func (p *Pool) search() (netip.Addr, bool) {
	a := p.next
	for range len(p.taken) + len(p.reserved) + 1 {
		if p.reserved[a] == "" && !p.taken[a] {
			return a, true
		}
		if a = p.after(a); a == p.next {
			break
		}
	}
	return netip.Addr{}, false
}

// after is the next address of the range, the first after the last.
func (p *Pool) after(a netip.Addr) netip.Addr {
	if a == p.last {
		return p.first
	}
	return a.Next()
}

// Release gives an address back; one that is not in use is no error.
func (p *Pool) Release(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, a)
}

// Reserve keeps an address from being handed out, as what says. One that is not
// of the subnet, or is reserved, is no error.
func (p *Pool) Reserve(a netip.Addr, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subnet.Contains(a) && p.reserved[a] == "" {
		p.reserved[a] = what
	}
}

// InUse is the number of addresses that are taken.
func (p *Pool) InUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.taken)
}

// usable are the first and last address that a device can have. A pair of
// addresses has neither network nor broadcast address (RFC 3021, RFC 6164); in
// IPv6 the first is the routers' anycast address, and nothing is broadcast.
func usable(s netip.Prefix) (first, last netip.Addr) {
	first, last = s.Addr(), lastOf(s)
	if s.Addr().BitLen()-s.Bits() < 2 {
		return first, last
	}
	if s.Addr().Is4() {
		last = last.Prev()
	}
	return first.Next(), last
}

// lastOf is the highest address of a prefix.
func lastOf(s netip.Prefix) netip.Addr {
	b := s.Masked().Addr().AsSlice()
	for i := s.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
