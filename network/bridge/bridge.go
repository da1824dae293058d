package bridge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"berth/internal/cleanup"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Bridge is the Linux bridge of a network.
type Bridge struct {
	Name      string
	Network   string           // id, kept as the device's alias "berth network ID"
	MTU       int              // zero: the kernel's default
	MAC       net.HardwareAddr // nil: from a hash of Network. Never the kernel's choice: that changes with the ports
	Addresses []netip.Prefix   // the gateway's, with the subnet's length
}

// aliasPrefix is what the aliases of our bridges begin with.
const aliasPrefix = "berth network "

func (b *Bridge) check() error {
	if b.Network == "" || len(aliasPrefix+b.Network) >= syscall.IFNAMSIZ*16 { // IFALIASZ
		return invalid("bridge %s needs the id of its network, of at most %d bytes", b.Name, syscall.IFNAMSIZ*16-len(aliasPrefix)-1)
	}
	return CheckName(b.Name)
}

// Ensure makes a bridge or repairs it: it may be repeated. What others added to it
// stays. A device of that name that is not this network's is class Conflict.
func (l *Links) Ensure(b Bridge) (index int, err error) {
	if err := errors.Join(b.check(), l.checkAddresses(b.Addresses)); err != nil {
		return 0, err
	}
	l.bridges.Lock()
	defer l.bridges.Unlock()
	var undo cleanup.Stack
	defer undo.Run(&err)
	link, err := find(l.h, b.Name)
	if err != nil {
		return 0, err
	}
	if link != nil {
		if err := b.adopt(link); err != nil {
			return 0, err
		}
	} else {
		if link, err = l.add(b); err != nil {
			return 0, err
		}
		undo.Add(func() error { return remove(l.h, link) })
	}
	if err := l.configure(link, b); err != nil {
		return 0, fmt.Errorf("set up bridge %s: %w", b.Name, err)
	}
	undo.Release()
	return link.Attrs().Index, nil
}

// adopt says why a device is not the network's, nil if it is.
func (b *Bridge) adopt(link netlink.Link) error {
	a := link.Attrs()
	network, ours := owner(link)
	switch {
	case ours && network == b.Network:
		return nil
	case ours:
		return conflict("network device %s belongs to network %s: give this network's bridge another name", b.Name, network)
	case link.Type() == "bridge" && a.Alias == "" && a.Flags&net.FlagUp == 0 && a.MasterIndex == 0:
		// The kernel takes no alias when it makes a device: a berthd that was killed
		// just then left this. If it is somebody else's it is one that does nothing.
		return nil
	}
	return conflict("a network device %s exists that is not berth's (a %s): remove it with \"ip link delete %s\", or give the network's bridge another name",
		b.Name, link.Type(), b.Name)
}

// owner returns the network of a bridge of ours.
func owner(link netlink.Link) (network string, ours bool) {
	network, ours = strings.CutPrefix(link.Attrs().Alias, aliasPrefix)
	return network, ours && link.Type() == "bridge"
}

func (l *Links) add(b Bridge) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = b.Name
	attrs.HardwareAddr = b.mac()
	link := &netlink.Bridge{LinkAttrs: attrs}
	if err := l.h.LinkAdd(link); err != nil {
		return nil, fmt.Errorf("make bridge %s: %w", b.Name, err)
	}
	return link, nil
}

func (b *Bridge) mac() net.HardwareAddr {
	if len(b.MAC) > 0 {
		return b.MAC
	}
	sum := sha256.Sum256([]byte(b.Network))
	return net.HardwareAddr{0x02, 0x42, sum[0], sum[1], sum[2], sum[3]}
}

func (l *Links) configure(link netlink.Link, b Bridge) error {
	a := link.Attrs()
	if a.Alias != aliasPrefix+b.Network {
		if err := l.h.LinkSetAlias(link, aliasPrefix+b.Network); err != nil {
			return fmt.Errorf("set alias: %w", err)
		}
	}
	if mac := b.mac(); a.HardwareAddr.String() != mac.String() {
		if err := l.h.LinkSetHardwareAddr(link, mac); err != nil {
			return fmt.Errorf("set hardware address %s: %w", mac, err)
		}
	}
	// Not when it is made: only so the kernel keeps it when ports come and go.
	if b.MTU != 0 && a.MTU != b.MTU {
		if err := l.h.LinkSetMTU(link, b.MTU); err != nil {
			return fmt.Errorf("set MTU %d: %w", b.MTU, err)
		}
	}
	if err := l.within(func() error { return applySysctls(l.bridgeSysctls(b)) }); err != nil {
		return err
	}
	if err := l.h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	addresses := b.Addresses
	if l.ipv6 && hasIPv6(addresses) {
		addresses = append(slices.Clone(addresses), linkLocal(b.mac()))
	}
	return setAddresses(l.h, link, addresses)
}

// linkLocal is the address that the kernel gives a device (RFC 4291, appendix A).
// Somebody may have removed it, and without one the kernel does not look for the
// neighbours that it forwards packets to.
func linkLocal(mac net.HardwareAddr) netip.Prefix {
	a := [16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

func (l *Links) bridgeSysctls(b Bridge) []sysctl {
	// Packets of local processes to 127.0.0.1:PORT are sent to a container from
	// 127.0.0.1, which must be allowed to leave the host (the firewall changes it).
	all := []sysctl{{"ipv4/conf/" + b.Name + "/route_localnet", "1"}}
	if l.ipv6 {
		all = append(all, ipv6Sysctls(b.Name, hasIPv6(b.Addresses))...)
	}
	return all
}

// Remove deletes a bridge. One that does not exist is no error, one that is
// not ours class Conflict.
func (l *Links) Remove(name string) error {
	l.bridges.Lock()
	defer l.bridges.Unlock()
	link, err := find(l.h, name)
	if err != nil || link == nil {
		return err
	}
	if _, ours := owner(link); !ours {
		return conflict("network device %s is not a bridge of berth's: it stays; remove it with \"ip link delete %s\" if it is not needed", name, name)
	}
	return remove(l.h, link)
}

// Bridges returns our bridges, by name.
func (l *Links) Bridges() ([]Bridge, error) {
	links, err := l.list()
	if err != nil {
		return nil, err
	}
	addresses, err := l.addresses()
	if err != nil {
		return nil, err
	}
	var all []Bridge
	for _, link := range links {
		network, ours := owner(link)
		if !ours {
			continue
		}
		a := link.Attrs()
		b := Bridge{Name: a.Name, Network: network, MTU: a.MTU, MAC: a.HardwareAddr}
		for _, addr := range addresses {
			if p := prefixOf(addr.IPNet); addr.LinkIndex == a.Index && !p.Addr().IsLinkLocalUnicast() {
				b.Addresses = append(b.Addresses, p)
			}
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Bridge) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func conflict(format string, args ...any) error {
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf(format, args...))
}
