package ipam

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"

	"github.com/containerd/errdefs"
)

// Base is a range of addresses that subnets of Bits are cut from.
type Base struct {
	Prefix netip.Prefix
	Bits   int
}

// Check says whether subnets can be cut from b. Class InvalidArgument.
func (b Base) Check() error {
	if err := CheckSubnet(b.Prefix); err != nil {
		return err
	}
	if b.Bits < b.Prefix.Bits() || b.Bits >= b.Prefix.Addr().BitLen() {
		return invalid("cannot cut subnets of /%d from %s: use /%d to /%d", b.Bits, b.Prefix, b.Prefix.Bits(), b.Prefix.Addr().BitLen()-1)
	}
	return nil
}

// DefaultPools are what networks get without configuration: 4,096 subnets of 254
// addresses out of the private ranges that Docker uses, so that firewalls and
// routers that were set up for it fit. Like there 172.16.0.0/16 is left out, the
// part of the range that other people's networks begin with, and 10.0.0.0/8, where
// company networks and VPNs are. Docker cuts /16 and /20 and is out of subnets
// after 31 networks; a Linux bridge has at most 1,023 ports anyway.
func DefaultPools() []Base {
	var all []Base
	for _, p := range []string{"172.17.0.0/16", "172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/13", "192.168.0.0/16"} {
		all = append(all, Base{netip.MustParsePrefix(p), 24})
	}
	return all
}

// Choose returns the first subnet of the pools that overlaps nothing in use.
// Class ResourceExhausted if there is none.
func Choose(pools []Base, used []netip.Prefix) (netip.Prefix, error) {
	for _, b := range pools {
		if err := b.Check(); err != nil {
			return netip.Prefix{}, fmt.Errorf("address pool: %w", err)
		}
		if s, ok := b.first(used); ok {
			return s, nil
		}
	}
	return netip.Prefix{}, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf(
		"no free subnet in the %d address pools: each overlaps another network or a route of the host; remove unused networks, or name one with --subnet", len(pools)))
}

// first finds a free subnet of b. Each step leaps over what is in the way, so a
// pool may have any number of subnets.
func (b Base) first(used []netip.Prefix) (netip.Prefix, bool) {
	end := lastOf(b.Prefix)
	s := netip.PrefixFrom(b.Prefix.Addr(), b.Bits)
	for {
		last, free := lastOf(s), true
		for _, u := range used {
			if u.IsValid() && s.Overlaps(u) {
				free = false
				if l := lastOf(u); last.Less(l) {
					last = l
				}
			}
		}
		if free {
			return s, true
		}
		if !last.Less(end) {
			return netip.Prefix{}, false
		}
		s = netip.PrefixFrom(last.Next(), b.Bits)
	}
}

// ULA is the IPv6 subnet of a network that was given none: fd00::/8, 40 bits that
// should be random and 16 of choice (RFC 4193), all from a hash of the network's
// id, so that the same network has the same subnet again.
func ULA(networkID string) netip.Prefix {
	sum := sha256.Sum256([]byte("berth network " + networkID))
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:8], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// MAC is the hardware address of the device with address a: 02:42, as Docker's
// containers had, and the IPv4 address or a hash of the IPv6 one. The second
// container at an address has the first one's MAC, so that no neighbour remembers
// a wrong one.
func MAC(a netip.Addr) net.HardwareAddr {
	mac := net.HardwareAddr{0x02, 0x42, 0, 0, 0, 0}
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		copy(mac[2:], b[:])
		return mac
	}
	sum := sha256.Sum256(a.AsSlice())
	copy(mac[2:], sum[:])
	return mac
}
