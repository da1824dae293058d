package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"berth/internal/cleanup"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// parentPrefix is what the aliases of the parents begin with that we made.
const parentPrefix = "berth parent of "

// maxVLAN is the highest number of a VLAN (IEEE 802.1Q).
const maxVLAN = 4094

// Parent is the device of the host that devices of a Lan are made on.
type Parent struct {
	Index     uint32
	MTU       uint32
	MAC       net.HardwareAddr
	Addresses []netip.Addr
}

// EnsureParent finds the parent of a network's devices. If there is none of that
// name it makes it: a dummy device, that leads nowhere, or one whose name is
// DEVICE.NUMBER as a VLAN of that device. It may be repeated. Class NotFound if it
// does not exist and is no VLAN, InvalidArgument if it cannot be a parent.
func (l *Links) EnsureParent(lan Lan, network string, dummy bool) (p Parent, err error) {
	if err := errors.Join(CheckName(lan.Parent), lan.Check()); err != nil {
		return p, err
	}
	l.bridges.Lock()
	defer l.bridges.Unlock()
	var undo cleanup.Stack
	defer undo.Run(&err)
	link, err := find(l.h, lan.Parent)
	if err != nil {
		return p, err
	}
	made := link == nil
	if made {
		if link, err = l.addParent(lan.Parent, dummy); err != nil {
			return p, err
		}
		undo.Add(func() error { return remove(l.h, link) })
	}
	a := link.Attrs()
	// A dummy bears the network's id, so it is ours even if a berthd was killed before the alias.
	if made || dummy && link.Type() == "dummy" && a.Alias == "" {
		a.Alias = parentPrefix + network
		if err := l.h.LinkSetAlias(link, a.Alias); err != nil {
			return p, fmt.Errorf("set alias of %s: %w", lan.Parent, err)
		}
	}
	if a.Flags&net.FlagLoopback != 0 {
		return p, invalid("parent %s is the loopback device: choose one that leads somewhere", lan.Parent)
	}
	if made || strings.HasPrefix(a.Alias, parentPrefix) && a.Flags&net.FlagUp == 0 {
		if err := l.h.LinkSetUp(link); err != nil {
			return p, fmt.Errorf("set up parent %s (the device below must be up): %w", lan.Parent, err)
		}
	}
	if link, err = l.h.LinkByName(lan.Parent); err != nil { // with what the kernel chose
		return p, fmt.Errorf("look up network device %s: %w", lan.Parent, err)
	}
	a = link.Attrs()
	if other, err := l.ipvlanOf(a.Index); err != nil {
		return p, err
	} else if other != nil && lan.Kind == Ipvlan && (other.Mode != lan.Mode || other.Flag != lan.Flag) {
		return p, conflict("parent %s has ipvlans of mode %s %s: Linux has one mode for all of a parent", lan.Parent, other.Mode, other.Flag)
	}
	p = Parent{Index: uint32(a.Index), MTU: uint32(a.MTU), MAC: a.HardwareAddr} //nolint:gosec // positive
	if p.Addresses, err = l.onHost(a.Index); err != nil {
		return p, err
	}
	undo.Release()
	return p, nil
}

// addParent makes a device that is missing.
func (l *Links) addParent(name string, dummy bool) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if dummy {
		return l.addDevice(&netlink.Dummy{LinkAttrs: attrs}, "dummy")
	}
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 {
		return nil, noParent(name)
	}
	below, err := find(l.h, name[:dot])
	if err != nil {
		return nil, err
	}
	if below == nil {
		return nil, noParent(name)
	}
	id, err := strconv.ParseUint(name[dot+1:], 10, 16)
	if err != nil || id < 1 || id > maxVLAN || strconv.FormatUint(id, 10) != name[dot+1:] {
		return nil, invalid("parent %s does not exist, and is no VLAN of %s: that is %s.NUMBER with a number of 1 to %d", name, name[:dot], name[:dot], maxVLAN)
	}
	attrs.ParentIndex = below.Attrs().Index
	return l.addDevice(&netlink.Vlan{LinkAttrs: attrs, VlanId: int(id), VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}, "8021q")
}

func (l *Links) addDevice(link netlink.Link, module string) (netlink.Link, error) {
	name := link.Attrs().Name
	err := l.h.LinkAdd(link)
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP):
		return nil, errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"the kernel cannot make %s, a device of type %s: load the module %s, or give a parent that exists", name, link.Type(), module))
	case errors.Is(err, syscall.EEXIST) && module == "8021q":
		return nil, conflict("VLAN device %s cannot be made: the VLAN exists under another name: give that as parent", name)
	case err != nil:
		return nil, fmt.Errorf("make network device %s: %w", name, err)
	}
	return link, nil
}

// RemoveParent deletes a parent that EnsureParent made for one of the networks of
// ours, unless heirs use it still: then it is the first heir's. Any other
// device stays.
func (l *Links) RemoveParent(name, network string, heirs []string) error {
	l.bridges.Lock()
	defer l.bridges.Unlock()
	link, err := find(l.h, name)
	if err != nil || link == nil {
		return err
	}
	of, ours := strings.CutPrefix(link.Attrs().Alias, parentPrefix)
	if !ours || of != network && !slices.Contains(heirs, of) {
		return nil
	}
	if len(heirs) > 0 {
		if err := l.h.LinkSetAlias(link, parentPrefix+heirs[0]); err != nil {
			return fmt.Errorf("set alias of %s: %w", name, err)
		}
		return nil
	}
	return remove(l.h, link)
}
