package bridge

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
)

// localTable is the routing table of the host's own addresses (RT_TABLE_LOCAL).
const localTable = 255

// Prefixes returns where a new subnet must not be: the prefixes of this host's
// addresses and routes of all tables, sorted. Default routes are not among them,
// nor halves of the whole, which VPN programs set instead of one. Each address, and
// each router behind a route, is among them by itself too.
func (l *Links) Prefixes() ([]netip.Prefix, error) {
	addresses, err := l.addresses()
	if err != nil {
		return nil, err
	}
	// A filter for table 0 is for all of them; without it there is the main one only.
	routes, err := whole(func() ([]netlink.Route, error) {
		return l.h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: syscall.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var all []netip.Prefix
	for _, a := range addresses {
		p := prefixOf(a.IPNet)
		all = append(all, p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		if a.Peer != nil {
			all = append(all, prefixOf(a.Peer).Masked())
		}
	}
	for _, r := range routes {
		if gw := addrOf(r.Gw); gw.IsValid() {
			all = append(all, netip.PrefixFrom(gw, gw.BitLen()))
		}
		if p := prefixOf(r.Dst).Masked(); p.IsValid() && p.Bits() > 1 && r.Table != localTable {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(all), nil
}

func (l *Links) addresses() ([]netlink.Addr, error) {
	all, err := whole(func() ([]netlink.Addr, error) { return l.h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return all, nil
}
