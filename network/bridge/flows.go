package bridge

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// ForgetFlows removes the tracked connections to a port of this host, except
// those that go to the container's address to (zero: all). Rules are looked at
// for the first packet of a flow only, and a flow of UDP lives as long as its
// packets come: without this they would go where they went before the port was
// published, or to a container that is gone.
func (l *Links) ForgetFlows(protocol uint8, hostPort uint16, to netip.AddrPort) error {
	addresses, err := l.addresses()
	if err != nil {
		return err
	}
	f := flows{protocol: protocol, port: hostPort, to: to, local: make(map[netip.Addr]bool, len(addresses))}
	for _, a := range addresses {
		f.local[prefixOf(a.IPNet).Addr()] = true
	}
	families := []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6}
	switch {
	case to.Addr().Is4():
		families = families[:1]
	case to.Addr().Is6():
		families = families[1:]
	}
	for _, family := range families {
		_, err := whole(func() (uint, error) { return l.h.ConntrackDeleteFilters(netlink.ConntrackTable, family, f) })
		if err != nil {
			return fmt.Errorf("forget connections to port %d: %w", hostPort, err)
		}
	}
	return nil
}

// flows is the filter of ForgetFlows.
type flows struct {
	protocol uint8
	port     uint16
	to       netip.AddrPort
	local    map[netip.Addr]bool // flows to other hosts' same port are not ours
}

// MatchConntrackFlow says whether a flow is to be forgotten.
func (f flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	target := addrOf(flow.Forward.DstIP)
	if flow.Forward.Protocol != f.protocol || flow.Forward.DstPort != f.port || !f.local[target] && !target.IsLoopback() {
		return false
	}
	// Who answers is where the packets go after translation.
	return netip.AddrPortFrom(addrOf(flow.Reverse.SrcIP), flow.Reverse.SrcPort) != f.to
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
