package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"berth/internal/linux/netns"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Namespace is a network namespace of berthd's own, for the name server. It has
// a device in each network and passes nothing from one to another. It ends with
// Close and the sockets in it, at the latest with the process.
type Namespace struct {
	ns *os.File
}

// NewNamespace makes one.
func NewNamespace() (*Namespace, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	err = netns.Do(ns, func() error {
		h, err := netlink.NewHandle(syscall.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open netlink: %w", err)
		}
		defer h.Close()
		lo, err := h.LinkByName("lo")
		if err == nil {
			err = h.LinkSetUp(lo)
		}
		if err != nil {
			return fmt.Errorf("set up lo: %w", err)
		}
		return applySysctls(namespaceSysctls())
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up network namespace: %w", err), ns.Close())
	}
	return &Namespace{ns}, nil
}

// namespaceSysctls keep networks that meet in a namespace apart. A new namespace
// is a router if the host is one, so this must be turned off.
func namespaceSysctls() []sysctl {
	all := []sysctl{
		{"ipv4/ip_forward", "0"},
		{"ipv4/conf/all/arp_ignore", "1"}, // who asks for another network's address gets no answer
		{"ipv4/conf/all/rp_filter", "1"},  // nor who claims to have one
	}
	for _, device := range []string{"all", "default"} {
		all = append(all, sysctl{"ipv4/conf/" + device + "/accept_redirects", "0"}, sysctl{"ipv4/conf/" + device + "/send_redirects", "0"})
	}
	if _, err := os.Stat(sysctlRoot + "ipv6"); err != nil {
		return all
	}
	for _, device := range []string{"all", "default"} {
		dir := "ipv6/conf/" + device + "/"
		all = append(all, sysctl{dir + "forwarding", "0"}, sysctl{dir + "accept_ra", "0"}, sysctl{dir + "accept_redirects", "0"})
	}
	return all
}

// Attach joins n to a bridge. What is left of an earlier berthd's host's end of
// that name is removed: its namespace ends some time after it.
func (l *Links) Attach(n *Namespace, v Veth) error {
	err := l.plug(n.ns, v)
	if !errors.Is(err, syscall.EEXIST) || v.Lan != nil {
		return err
	}
	if err := l.RemoveLink(v.Host); err != nil {
		return err
	}
	return l.plug(n.ns, v)
}

// Detach undoes Attach, by the name of the host's end. It may be repeated.
func (l *Links) Detach(host string) error { return l.RemoveLink(host) }

// DetachLan undoes Attach of a device of a Lan. It may be repeated.
func (l *Links) DetachLan(n *Namespace, index uint32) error { return l.RemoveInside(n.ns, index) }

// Listen makes sockets for UDP and TCP at an address of an attached device. They
// are bound to the device: a packet that comes to the address from another network is not
// for them. The caller closes both.
func (n *Namespace) Listen(ctx context.Context, at netip.AddrPort) (udp net.PacketConn, tcp net.Listener, err error) {
	err = netns.Do(n.ns, func() error {
		device, err := deviceOf(at.Addr())
		if err != nil {
			return err
		}
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			cerr := c.Control(func(fd uintptr) { err = syscall.BindToDevice(int(fd), device) })
			return errors.Join(cerr, os.NewSyscallError("setsockopt SO_BINDTODEVICE", err))
		}}
		lc.SetMultipathTCP(false)
		if tcp, err = lc.Listen(ctx, "tcp", at.String()); err != nil {
			return err
		}
		// The same port if at's is zero.
		if udp, err = lc.ListenPacket(ctx, "udp", tcp.Addr().String()); err != nil {
			return errors.Join(err, tcp.Close())
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listen at %s in the name server's namespace: %w", at, err)
	}
	return udp, tcp, nil
}

// deviceOf finds the device with an address in the thread's network namespace.
func deviceOf(want netip.Addr) (string, error) {
	devices, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, d := range devices {
		addresses, err := d.Addrs()
		if err != nil {
			return "", err
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && addrOf(n.IP) == want {
				return d.Name, nil
			}
		}
	}
	return "", errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no device has the address %s", want))
}

// Close ends the use of n. Its devices are gone, host's ends too, when the last socket in it is closed.
func (n *Namespace) Close() error { return n.ns.Close() }
