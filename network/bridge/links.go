// Package bridge makes the kernel's part of networks: bridges, the veth pairs
// that join containers to them, and the network namespace of the name server.
//
// Level: L2, a subroom of network.
// Owns: network devices, their addresses, routes, limits and sysctls; connection tracking entries.
// May import: vishvananda/netlink (its only importer), containerd/errdefs, internal/cleanup, internal/linux, internal/linux/netns, ociruntime/plan/netdevice.
// Must not know: records of networks, which address is whose, firewall rules.
//
// Nothing is remembered here: the kernel is asked each time. A bridge is known
// to be ours by its alias, the host's end of a container's veth pair by its name.
package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"berth/internal/linux/netns"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Links makes network devices in the network namespace of the thread that called
// Open. It is safe for concurrent use: calls from any goroutine go to that namespace.
type Links struct {
	ns   *os.File
	h    *netlink.Handle
	ipv6 bool // the kernel knows IPv6

	bridges sync.Mutex // held while a bridge is made, repaired or removed

	mu        sync.Mutex
	lastIndex uint32 // given out by NextIndex; zero: none yet
	forsaken  map[netip.Prefix]string
}

// Open makes a Links for the network namespace of the calling thread. Whoever
// calls it in another one than the process's locks the thread before.
func Open() (*Links, error) {
	ns, err := netns.Open(0)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	h, err := netlink.NewHandle(syscall.NETLINK_ROUTE, syscall.NETLINK_NETFILTER)
	if errors.Is(err, syscall.EPROTONOSUPPORT) { // the one of both that a kernel can be without
		err = errdefs.ErrNotImplemented.WithMessage("the kernel has no netfilter (NETLINK_NETFILTER), which networks need: " +
			"load or build in nfnetlink and nf_tables, or run containers with --network host or none")
	}
	if err != nil {
		if e := ns.Close(); e != nil {
			err = errors.Join(err, e)
		}
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	_, err = os.Stat(sysctlRoot + "ipv6")
	return &Links{ns: ns, h: h, ipv6: err == nil, forsaken: map[netip.Prefix]string{}}, nil
}

// Close ends the use of Links. The devices stay.
func (l *Links) Close() error {
	l.h.Close()
	return l.ns.Close()
}

// within runs f on a thread in the namespace of l, for what no socket of l's does: sysctls.
func (l *Links) within(f func() error) error { return netns.Do(l.ns, f) }

// Within is within for sockets that other rooms make.
func (l *Links) Within(f func() error) error { return l.within(f) }

// find returns the device of that name, nil if there is none.
func find(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up network device %s: %w", name, err)
	}
	return link, nil
}

// gone says whether an error tells that the device does not exist.
func gone(err error) bool {
	var none netlink.LinkNotFoundError
	return errors.As(err, &none) || errors.Is(err, syscall.ENODEV)
}

// remove deletes a device; it is no error if somebody else did.
func remove(h *netlink.Handle, link netlink.Link) error {
	if err := h.LinkDel(link); err != nil && !gone(err) {
		return fmt.Errorf("remove network device %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// dumpTries bounds how often a dump is begun anew. Each container that starts
// or ends meanwhile may spoil one.
const dumpTries = 50

// whole repeats a dump that the kernel says is not of one moment: it may lack
// what did not change at all.
func whole[T any](dump func() (T, error)) (T, error) {
	for range dumpTries {
		all, err := dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	var none T
	return none, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf(
		"the host's network configuration changed during each of %d attempts to read it: try again", dumpTries))
}

func (l *Links) list() ([]netlink.Link, error) {
	all, err := whole(l.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	return all, nil
}

// CheckName says whether a network device can have this name. Class InvalidArgument.
func CheckName(name string) error {
	ok := len(name) > 0 && len(name) < syscall.IFNAMSIZ && name != "." && name != ".." && name != "all" && name != "default"
	for _, c := range []byte(name) {
		ok = ok && c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%'
	}
	if !ok {
		return invalid("invalid name %.80q of a network device: use 1 to %d visible characters without / : %%", name, syscall.IFNAMSIZ-1)
	}
	return nil
}

// setAddresses gives a device addresses; those it has are no error. Duplicates
// are not looked for in IPv6, or an address would not work for its first second:
// they are handed out by berth alone.
func setAddresses(h *netlink.Handle, link netlink.Link, addresses []netip.Prefix) error {
	for _, p := range addresses {
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = syscall.IFA_F_NODAD
		}
		if err := h.AddrReplace(link, a); err != nil {
			return fmt.Errorf("add address %s to %s: %w", p, link.Attrs().Name, err)
		}
	}
	return nil
}

func hasIPv6(addresses []netip.Prefix) bool {
	for _, p := range addresses {
		if p.Addr().Is6() {
			return true
		}
	}
	return false
}

// checkAddresses checks what setAddresses is to set.
func (l *Links) checkAddresses(addresses []netip.Prefix) error {
	for _, p := range addresses {
		if !p.IsValid() || p.Addr().Is4In6() {
			return invalid("invalid address %s of a network device", p)
		}
	}
	if hasIPv6(addresses) && !l.ipv6 {
		return errdefs.ErrFailedPrecondition.WithMessage(
			"IPv6 is turned off in the kernel: make the network without IPv6, or boot without ipv6.disable=1")
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefixOf is ipNet's opposite, zero for nil.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a, ones)
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
