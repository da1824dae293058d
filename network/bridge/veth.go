package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"berth/internal/cleanup"
	"berth/internal/linux/netns"
	"berth/ociruntime/plan/netdevice"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Veth is a pair of devices that joins a namespace to a bridge or, with Lan, a
// device of its own that has no end on the host.
type Veth struct {
	Lan          *Lan             // nil: a pair, on Bridge
	InsideIndex  uint32           // with Lan: the number of the device
	Host, Inside string           // their names
	HostIndex    uint32           // from NextIndex; zero: the kernel's choice
	MAC          net.HardwareAddr // of the device inside; nil: random
	MTU          int              // zero: the kernel's default
	Bridge       string
	Hairpin      bool           // what comes from it may go back to it
	Isolated     bool           // nothing passes between it and other isolated ports of the bridge
	Addresses    []netip.Prefix // of the device inside
	Gateways     []netip.Addr   // default routes, one a family; empty: none; unspecified: to the device itself
	Limit        netdevice.Limit
}

// Plug joins the network namespace of a running process to a bridge: the device
// inside is born there, gets its addresses and routes and is up. Class
// FailedPrecondition if the process has ended, NotFound if there is no such bridge.
func (l *Links) Plug(pid int, v Veth) error {
	ns, err := netns.Open(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("process %d has ended: it has no network to plug %s into", pid, v.Inside))
	}
	if err != nil {
		return fmt.Errorf("open network namespace of process %d: %w", pid, err)
	}
	defer ns.Close()
	return l.plug(ns, v)
}

func (l *Links) plug(ns *os.File, v Veth) (err error) {
	if v.Lan != nil {
		return l.plugLan(ns, v)
	}
	if err := errors.Join(CheckName(v.Host), CheckName(v.Inside), l.checkAddresses(v.Addresses)); err != nil {
		return err
	}
	bridge, err := find(l.h, v.Bridge)
	if err != nil {
		return err
	}
	if bridge == nil {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("bridge %s does not exist: restart berthd, it makes the bridges of its networks anew", v.Bridge))
	}
	var undo cleanup.Stack
	defer undo.Run(&err)
	host, err := l.addPair(ns, v)
	if err != nil {
		return err
	}
	undo.Add(func() error { return remove(l.h, host) })
	if err := l.join(host, bridge, v.Isolated, v.Hairpin); err != nil {
		return err
	}
	undo.Add(func() error { return l.RemoveShaper(v.Limit.Shaper) })
	if err := l.makeLimit(host, v.Limit); err != nil { // before anything passes
		return err
	}
	err = netns.Do(ns, func() error { return l.setUpInside(v) })
	if err != nil {
		return fmt.Errorf("set up network device %s inside: %w", v.Inside, err)
	}
	undo.Release()
	return nil
}

func (l *Links) addPair(ns *os.File, v Veth) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index, attrs.MTU = v.Host, int(v.HostIndex), v.MTU
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerHardwareAddr, pair.PeerNamespace = v.Inside, v.MAC, netlink.NsFd(ns.Fd())
	if err := l.h.LinkAdd(pair); err != nil {
		if errors.Is(err, syscall.EEXIST) {
			return nil, fmt.Errorf("make network devices %s on the host and %s inside: one of the names is taken: %w", v.Host, v.Inside, err)
		}
		return nil, fmt.Errorf("make network devices %s on the host and %s inside: %w", v.Host, v.Inside, err)
	}
	return pair, nil
}

// join makes a host's end a port of a bridge.
func (l *Links) join(host, bridge netlink.Link, isolated, hairpin bool) error {
	name := host.Attrs().Name
	if l.ipv6 { // a port needs no address of its own, and says nothing to the bridge
		if err := l.h.LinkSetIP6AddrGenMode(host, ip6AddrGenNone); err != nil {
			return fmt.Errorf("turn off link-local addresses of %s: %w", name, err)
		}
	}
	err := l.h.LinkSetMaster(host, bridge)
	if errors.Is(err, syscall.EXFULL) {
		return errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf(
			"bridge %s has 1023 ports, the most that Linux allows: put further containers into another network", bridge.Attrs().Name))
	}
	if err != nil {
		return fmt.Errorf("make %s a port of bridge %s: %w", name, bridge.Attrs().Name, err)
	}
	if isolated { // while it is down
		if err := l.h.LinkSetIsolated(host, true); err != nil {
			return fmt.Errorf("isolate port %s: %w", name, err)
		}
	}
	if hairpin {
		if err := l.h.LinkSetHairpin(host, true); err != nil {
			return fmt.Errorf("let packets back to port %s: %w", name, err)
		}
	}
	if err := l.h.LinkSetUp(host); err != nil {
		return fmt.Errorf("set up network device %s: %w", name, err)
	}
	return nil
}

// ip6AddrGenNone is the kernel's IN6_ADDR_GEN_MODE_NONE.
const ip6AddrGenNone = 1

// setUpInside sets up the device of a pair on a thread that is in its namespace.
func (l *Links) setUpInside(v Veth) error {
	h, err := netlink.NewHandle(syscall.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	link, err := h.LinkByName(v.Inside)
	if err != nil {
		return err
	}
	if l.ipv6 {
		if err := applySysctls(ipv6Sysctls(v.Inside, hasIPv6(v.Addresses))); err != nil {
			return err
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	if err := setAddresses(h, link, v.Addresses); err != nil {
		return err
	}
	return setGateways(h, link, v.Gateways)
}

func setGateways(h *netlink.Handle, link netlink.Link, gateways []netip.Addr) error {
	for _, gw := range gateways {
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gw.Is6() {
			everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(everything), Gw: gw.AsSlice()}
		if gw.IsUnspecified() {
			r.Gw = nil
			if gw.Is4() {
				r.Scope = netlink.SCOPE_LINK
			}
		}
		if err := h.RouteReplace(r); err != nil {
			return fmt.Errorf("set default route via %s: %w", gw, err)
		}
	}
	return nil
}

// SetGateways replaces the default routes of a process's network namespace by
// routes over the device inside: when the network that had them is left.
func (l *Links) SetGateways(pid int, inside string, gateways []netip.Addr) error {
	return withProcess(pid, func(h *netlink.Handle) error {
		link, err := h.LinkByName(inside)
		if err != nil {
			return fmt.Errorf("look up network device %s: %w", inside, err)
		}
		return setGateways(h, link, gateways)
	})
}

// Unplug removes the device inside from a process's network namespace, and with
// it the host's end. It is no error if it or the process is gone.
func (l *Links) Unplug(pid int, inside string) error {
	err := withProcess(pid, func(h *netlink.Handle) error {
		link, err := find(h, inside)
		if err != nil || link == nil {
			return err
		}
		if _, veth := link.(*netlink.Veth); !veth {
			return conflict("network device %s of process %d is a %s that berth did not make: it stays", inside, pid, link.Type())
		}
		return remove(h, link)
	})
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// withProcess runs f with a handle for the network namespace of a process. Its
// socket is made there; f runs anywhere.
func withProcess(pid int, f func(*netlink.Handle) error) error {
	ns, err := netns.Open(pid)
	if err != nil {
		return fmt.Errorf("open network namespace of process %d: %w", pid, err)
	}
	defer ns.Close()
	return inside(ns, f)
}
