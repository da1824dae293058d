package bridge

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Target is where a port of this host leads; a zero To is nowhere any more.
type Target struct {
	Port uint16
	To   netip.AddrPort
}

// ForgetFlows removes the tracked connections to ports of this host, except
// those that go to where the ports lead. Rules are looked at for the first packet
// of a flow only, and a flow of UDP lives as long as its packets come: without this
// they would go where they went before the port was published, or to a container
// that is gone. The kernel's table is read once for all ports.
func (l *Links) ForgetFlows(protocol uint8, targets []Target) error {
	if len(targets) == 0 {
		return nil
	}
	addresses, err := l.addresses()
	if err != nil {
		return err
	}
	local := make(map[netip.Addr]bool, len(addresses))
	for _, a := range addresses {
		local[prefixOf(a.IPNet).Addr()] = true
	}
	for _, family := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		f := flows{protocol: protocol, to: map[uint16]netip.AddrPort{}, local: local}
		for _, t := range targets {
			if !t.To.IsValid() || t.To.Addr().Is4() == (family == netlink.FAMILY_V4) {
				f.to[t.Port] = t.To
			}
		}
		if len(f.to) == 0 {
			continue
		}
		_, err := whole(func() (uint, error) { return l.h.ConntrackDeleteFilters(netlink.ConntrackTable, family, f) })
		if err != nil {
			return fmt.Errorf("forget connections to %d ports: %w", len(f.to), err)
		}
	}
	return nil
}

// flows is the filter of ForgetFlows.
type flows struct {
	protocol uint8
	to       map[uint16]netip.AddrPort // by port of the host
	local    map[netip.Addr]bool       // flows to other hosts' same port are not ours
}

// MatchConntrackFlow says whether a flow is to be forgotten.
func (f flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	to, ours := f.to[flow.Forward.DstPort]
	if !ours || flow.Forward.Protocol != f.protocol {
		return false
	}
	if target := addrOf(flow.Forward.DstIP); !f.local[target] && !target.IsLoopback() {
		return false
	}
	// Who answers is where the packets go after translation.
	return netip.AddrPortFrom(addrOf(flow.Reverse.SrcIP), flow.Reverse.SrcPort) != to
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
