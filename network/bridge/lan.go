package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"berth/internal/cleanup"
	"berth/internal/linux/netns"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// The kinds of Lan, as the kernel names them.
const (
	Macvlan = "macvlan"
	Ipvlan  = "ipvlan"
)

// Lan says how the devices of a network are made if they are on no bridge: each
// is a macvlan or ipvlan of a device of the host, the parent, and so at what
// that is plugged into.
type Lan struct {
	Kind   string
	Mode   string // bridge, private, vepa, passthru; of an ipvlan l2, l3, l3s
	Flag   string `json:",omitempty"` // of an ipvlan: bridge, private, vepa
	Parent string
}

// Check says whether the kernel has such a mode. Class InvalidArgument.
func (l Lan) Check() error {
	switch {
	case l.Kind == Macvlan && l.macvlanMode() == 0:
		return invalid("macvlan_mode=%.40q is unknown: use bridge, private, vepa or passthru", l.Mode)
	case l.Kind == Ipvlan && l.ipvlanMode() == netlink.IPVLAN_MODE_MAX:
		return invalid("ipvlan_mode=%.40q is unknown: use l2, l3 or l3s", l.Mode)
	case l.Kind == Ipvlan && l.ipvlanFlag() > netlink.IPVLAN_FLAG_VEPA:
		return invalid("ipvlan_flag=%.40q is unknown: use bridge, private or vepa", l.Flag)
	}
	return nil
}

// macvlanMode is that of linux/if_link.h, 0 for none.
func (l Lan) macvlanMode() uint32 {
	return map[string]uint32{"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}[l.Mode]
}

func (l Lan) ipvlanMode() netlink.IPVlanMode {
	switch l.Mode {
	case "l2":
		return netlink.IPVLAN_MODE_L2
	case "l3":
		return netlink.IPVLAN_MODE_L3
	case "l3s":
		return netlink.IPVLAN_MODE_L3S
	}
	return netlink.IPVLAN_MODE_MAX
}

func (l Lan) ipvlanFlag() netlink.IPVlanFlag {
	switch l.Flag {
	case "bridge":
		return netlink.IPVLAN_FLAG_BRIDGE
	case "private":
		return netlink.IPVLAN_FLAG_PRIVATE
	case "vepa":
		return netlink.IPVLAN_FLAG_VEPA
	}
	return netlink.IPVLAN_FLAG_VEPA + 1
}

// Numbers are mode and flag as linux/if_link.h has them.
func (l Lan) Numbers() (mode uint32, flags uint16) {
	if l.Kind == Macvlan {
		return l.macvlanMode(), 0
	}
	return uint32(l.ipvlanMode()), uint16(l.ipvlanFlag())
}

// Routes says that packets are routed by the parent's namespace and not sent at a LAN:
// there is no neighbour, hence no gateway.
func (l Lan) Routes() bool { return l.Kind == Ipvlan && l.Mode != "l2" }

// Talks says whether devices of the same parent reach each other, by it or by a
// switch that sends packets back.
func (l Lan) Talks() bool { return l.Mode != "private" && l.Mode != "passthru" && l.Flag != "private" }

// SharesMAC says that the devices have the parent's Ethernet address.
func (l Lan) SharesMAC() bool { return l.Kind == Ipvlan || l.Mode == "passthru" }

// device is what LinkAdd is to make.
func (l Lan) device(attrs netlink.LinkAttrs) netlink.Link {
	if l.Kind == Ipvlan {
		return &netlink.IPVlan{LinkAttrs: attrs, Mode: l.ipvlanMode(), Flag: l.ipvlanFlag()}
	}
	mode := map[string]netlink.MacvlanMode{
		"private": netlink.MACVLAN_MODE_PRIVATE, "vepa": netlink.MACVLAN_MODE_VEPA, "bridge": netlink.MACVLAN_MODE_BRIDGE, "passthru": netlink.MACVLAN_MODE_PASSTHRU,
	}[l.Mode]
	return &netlink.Macvlan{LinkAttrs: attrs, Mode: mode}
}

// explain says what an error means that the kernel gives when it makes a device.
func (l Lan) explain(err error) error {
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP):
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"the kernel has no %s: load the module %s, or make a bridge network", l.Kind, l.Kind))
	case errors.Is(err, syscall.EBUSY):
		return conflict("parent %s cannot have a %s: it has devices of another kind, or is a port of a bridge or bond: choose another parent", l.Parent, l.Kind)
	case errors.Is(err, syscall.EINVAL) && l.Kind == Macvlan:
		return conflict("parent %s cannot have another macvlan in mode %s: one in mode passthru is alone there: choose another parent or mode", l.Parent, l.Mode)
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENODEV):
		return conflict("network device %s cannot be the parent of a %s: choose an Ethernet device", l.Parent, l.Kind)
	}
	return err
}

// freeWithin is how long the kernel may take to remove the devices of a namespace that
// has ended (it does that in the background); freeEvery is how often that is looked at.
const (
	freeWithin = 5 * time.Second
	freeEvery  = 10 * time.Millisecond
)

// plugLan makes a device of v.Lan in a namespace. While a device of a namespace that
// has ended still has the address it waits.
func (l *Links) plugLan(ns *os.File, v Veth) error {
	if err := errors.Join(CheckName(v.Inside), v.Lan.Check(), l.checkAddresses(v.Addresses)); err != nil {
		return err
	}
	tick := time.NewTicker(freeEvery)
	defer tick.Stop()
	for deadline := time.Now().Add(freeWithin); ; <-tick.C {
		err := l.tryLan(ns, v)
		ending := errors.Is(err, syscall.EADDRINUSE) || v.Lan.Mode == "passthru" && errors.Is(err, syscall.EINVAL)
		if err == nil || !ending || time.Now().After(deadline) {
			if err != nil {
				err = v.Lan.explain(err)
			}
			return err
		}
	}
}

func (l *Links) tryLan(ns *os.File, v Veth) (err error) {
	parent, err := find(l.h, v.Lan.Parent)
	if err != nil {
		return err
	}
	if parent == nil {
		return noParent(v.Lan.Parent)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index, attrs.MTU, attrs.ParentIndex = v.Inside, int(v.InsideIndex), v.MTU, parent.Attrs().Index
	attrs.Namespace = netlink.NsFd(ns.Fd())
	if !v.Lan.SharesMAC() {
		attrs.HardwareAddr = v.MAC
	}
	var undo cleanup.Stack
	defer undo.Run(&err)
	if err := l.h.LinkAdd(v.Lan.device(attrs)); err != nil {
		return fmt.Errorf("make network device %s, a %s of %s: %w", v.Inside, v.Lan.Kind, v.Lan.Parent, err)
	}
	undo.Add(func() error { return l.RemoveInside(ns, v.InsideIndex) })
	if err := netns.Do(ns, func() error { return l.setUpInside(v) }); err != nil {
		return fmt.Errorf("set up network device %s inside: %w", v.Inside, err)
	}
	undo.Release()
	return nil
}

// PlugInto is Plug for a namespace's file, for a device of a Lan.
func (l *Links) PlugInto(ns *os.File, v Veth) error { return l.plug(ns, v) }

// Try makes a device of v.Lan, in a namespace of its own, and removes it: it tells
// what the kernel says to it, and afterwards no device that has ended has v's addresses.
func (l *Links) Try(v Veth) (err error) {
	ns, err := netns.New()
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	defer ns.Close()
	if v.InsideIndex == 0 {
		v.InsideIndex = minIndex
	}
	v.Inside = "try"
	if err := l.plugLan(ns, v); err != nil {
		return err
	}
	return l.RemoveInside(ns, v.InsideIndex)
}

// RemoveInside deletes a device of a namespace, by its number: its name is the
// container's to change. One that does not exist is no error.
func (l *Links) RemoveInside(ns *os.File, index uint32) error {
	return inside(ns, func(h *netlink.Handle) error {
		link, err := h.LinkByIndex(int(index))
		if gone(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look up network device %d inside: %w", index, err)
		}
		return remove(h, link)
	})
}

// Inside returns which devices a namespace has, by number, with their counters.
func (l *Links) Inside(ns *os.File) (all map[uint32]Counters, err error) {
	err = inside(ns, func(h *netlink.Handle) error {
		links, err := whole(h.LinkList)
		if err != nil {
			return fmt.Errorf("list network devices inside: %w", err)
		}
		all = make(map[uint32]Counters, len(links))
		for _, link := range links {
			all[uint32(link.Attrs().Index)] = countersOf(link) //nolint:gosec // indexes are positive
		}
		return nil
	})
	return all, err
}

// Swapped are the same packets as the other end of the wire counts them.
func (c Counters) Swapped() Counters {
	return Counters{c.TxBytes, c.TxPackets, c.TxErrors, c.TxDropped, c.RxBytes, c.RxPackets, c.RxErrors, c.RxDropped}
}

// inside runs f with a handle for a network namespace. Its socket is made there; f
// runs anywhere.
func inside(ns *os.File, f func(*netlink.Handle) error) error {
	var h *netlink.Handle
	err := netns.Do(ns, func() (err error) {
		h, err = netlink.NewHandle(syscall.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return fmt.Errorf("open netlink inside: %w", err)
	}
	defer h.Close()
	return f(h)
}

// ipvlanOf returns how the devices of a parent are made that this namespace has, nil
// if it has none. Linux keeps the mode and flag of ipvlans with the parent.
func (l *Links) ipvlanOf(parent int) (*Lan, error) {
	links, err := l.list()
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		if other, ok := link.(*netlink.IPVlan); ok && other.ParentIndex == parent {
			mode := []string{"l2", "l3", "l3s", "other"}[min(int(other.Mode), 3)]
			flag := []string{"bridge", "private", "vepa", "other"}[min(int(other.Flag), 3)]
			return &Lan{Kind: Ipvlan, Mode: mode, Flag: flag}, nil
		}
	}
	return nil, nil //nolint:nilnil // none
}

func noParent(name string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("parent device %s does not exist: see ip link, or leave parent out for a network without one", name))
}

// onHost are the addresses of a device.
func (l *Links) onHost(index int) (all []netip.Addr, err error) {
	addresses, err := l.addresses()
	for _, a := range addresses {
		if a.LinkIndex == index {
			all = append(all, prefixOf(a.IPNet).Addr())
		}
	}
	return all, err
}
