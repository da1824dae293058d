package bridge

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
)

// Uplink is a device by which everything is reached that no other route takes.
type Uplink struct {
	Name      string
	MTU       int
	Addresses []netip.Prefix
	// Local are further addresses of this namespace's.
	Local []netip.Prefix
}

// RaiseUplink sets up a device that is there already, and the loopback device with it.
func (l *Links) RaiseUplink(u Uplink) error {
	lo, err := l.h.LinkByName("lo")
	if err == nil {
		err = l.h.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("set up lo: %w", err)
	}
	link, err := l.h.LinkByName(u.Name)
	if err != nil {
		return fmt.Errorf("look up network device %s: %w", u.Name, err)
	}
	if err := l.h.LinkSetMTU(link, u.MTU); err != nil {
		return fmt.Errorf("set MTU %d of %s: %w", u.MTU, u.Name, err)
	}
	addresses, local := u.Addresses, u.Local
	if !l.ipv6 {
		addresses, local = only4(addresses), only4(local)
	}
	if err := setAddresses(l.h, link, addresses); err != nil {
		return err
	}
	if err := l.h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up %s: %w", u.Name, err)
	}
	for _, p := range local {
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(p.Masked()), Type: syscall.RTN_LOCAL, Table: syscall.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}
		if err := l.h.RouteReplace(r); err != nil {
			return fmt.Errorf("make %s this namespace's: %w", p, err)
		}
	}
	for _, a := range addresses {
		all := &net.IPNet{IP: make(net.IP, len(a.Addr().AsSlice())), Mask: make(net.IPMask, len(a.Addr().AsSlice()))}
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: all, Src: a.Addr().AsSlice()}
		if err := l.h.RouteReplace(r); err != nil {
			return fmt.Errorf("lead everything to %s: %w", u.Name, err)
		}
	}
	return nil
}

func only4(all []netip.Prefix) (some []netip.Prefix) {
	for _, p := range all {
		if p.Addr().Is4() {
			some = append(some, p)
		}
	}
	return some
}
