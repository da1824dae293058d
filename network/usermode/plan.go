package usermode

import (
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"
)

// Plan are the addresses between the two sides. The first of each subnet is the
// gateway's, which stands for the host's name servers; the second is the device's inside;
// those from arriveAt on also are the inside's: connections to published ports of one address
// of the host arrive there.
type Plan struct{ Net4, Net6 netip.Prefix }

const (
	arriveAt = 128
	// maxArrivals is how many addresses of the host can have ports of their own.
	maxArrivals = 126
)

// NewPlan chooses a subnet in which the host has nothing.
func NewPlan(used []netip.Prefix) (Plan, error) {
	free := func(p netip.Prefix) bool {
		for _, u := range used {
			if u.Bits() > 0 && u.Overlaps(p) {
				return false
			}
		}
		return true
	}
	for n := range 256 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(255 - n), 2, 0}), 24)
		if free(p) {
			return Plan{p, netip.MustParsePrefix("fd62:6572:7468:2::/64")}, nil // by chance nobody else's (RFC 4193)
		}
	}
	return Plan{}, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("no subnet 10.x.2.0/24 is free of %d of the host", len(used)))
}

// check says whether a plan that came over a socket is one.
func (p Plan) check() error {
	if p.Net4.Bits() != 24 || !p.Net4.Addr().Is4() || p.Net6.Bits() != 64 || !p.Net6.Addr().Is6() {
		return fmt.Errorf("%v is no plan of addresses: %w", p, errdefs.ErrInvalidArgument)
	}
	return nil
}

func nth(p netip.Prefix, n byte) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	b[len(b)-1] = n
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Gateway4 and Gateway6 are outside.
func (p Plan) Gateway4() netip.Addr { return nth(p.Net4, 1) }

// Gateway6 is the gateway's address of IPv6.
func (p Plan) Gateway6() netip.Addr { return nth(p.Net6, 1) }

func (p Plan) isGateway(a netip.Addr) bool { return a == p.Gateway4() || a == p.Gateway6() }

// Inside are the device's addresses.
func (p Plan) Inside() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(nth(p.Net4, 2), p.Net4.Bits()), netip.PrefixFrom(nth(p.Net6, 2), p.Net6.Bits())}
}

// Arrivals are further addresses of the inside's, where connections arrive.
func (p Plan) Arrivals() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(nth(p.Net4, arriveAt), 25), netip.PrefixFrom(nth(p.Net6, arriveAt), 121)}
}

// arrival is the nth of those, of the family of a; the device's for 0.
func (p Plan) arrival(a netip.Addr, n int) netip.Addr {
	host := byte(2)
	if n > 0 {
		host = byte(arriveAt + n - 1)
	}
	if a.Is4() {
		return nth(p.Net4, host)
	}
	return nth(p.Net6, host)
}

// isInside says whether connections may be led to an address.
func (p Plan) isInside(a netip.Addr) bool {
	return (p.Net4.Contains(a) || p.Net6.Contains(a)) && !p.isGateway(a)
}
