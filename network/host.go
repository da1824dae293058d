package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"berth/network/bridge"
	"berth/network/dns"
	"berth/network/firewall"
	"berth/network/ipam"

	"github.com/moby/moby/api/types/network"
)

// tableName is the name of berth's nftables table.
const tableName = "berth"

func (n *Networks) tableName() string {
	if n.Suffix == "" {
		return tableName
	}
	return tableName + "-" + n.Suffix
}

// repairEvery is how often the host is looked at for what others have removed.
const repairEvery = 5 * time.Second

// host is what berth has on the host for its networks.
type host struct {
	links *bridge.Links
	// Made when the first network is raised, nil before.
	table *firewall.Table
	ns    *bridge.Namespace // of the name server
	names *dns.Server
}

// raised is a network that the host has.
type raised struct {
	host    *host
	index   uint32         // the bridge's
	stops   []func() error // end the name server's listening
	devices []string       // host ends of the name server's devices
}

// open gives access to the host's devices; nothing is changed.
func (n *Networks) open() (*host, error) {
	n.hostMu.Lock()
	defer n.hostMu.Unlock()
	return n.openLocked()
}

func (n *Networks) openLocked() (*host, error) {
	if n.host == nil {
		links, err := bridge.Open()
		if err != nil {
			return nil, err
		}
		n.host = &host{links: links}
	}
	return n.host, nil
}

// ready makes the host pass packets on: forwarding, the table of rules, the name
// server's namespace. It is done once.
func (n *Networks) ready() (*host, error) {
	n.hostMu.Lock()
	defer n.hostMu.Unlock()
	h, err := n.openLocked()
	if err != nil || h.table != nil {
		return h, err
	}
	if err := os.MkdirAll(n.Run, 0o700); err != nil {
		return nil, err
	}
	if err := touch(n.marker("used")); err != nil {
		return nil, err
	}
	table, err := firewall.Open(n.tableName())
	if err != nil {
		return nil, err
	}
	// Nothing is forwarded before there are rules.
	if err := n.allowForwarding(h, table); err != nil {
		return nil, errors.Join(err, table.Close())
	}
	if h.ns, err = bridge.NewNamespace(); err != nil {
		return nil, errors.Join(err, table.Close())
	}
	h.names = dns.New(dns.Config{Names: n, ResolvConf: n.ResolvConf, Log: n.Log})
	h.table = table
	n.watching.Go(func() { n.repairAlways(n.watch) })
	return h, nil
}

func (n *Networks) marker(name string) string { return filepath.Join(n.Run, name) }

func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// allowForwarding turns the host into a router for berth's networks. If it was
// none, the rules keep it from being one between other interfaces: those come first.
func (n *Networks) allowForwarding(h *host, table *firewall.Table) error {
	was := exists(n.marker("forwarding"))
	if !was {
		if err := touch(n.marker("forwarding")); err != nil { // until we know better
			return err
		}
	}
	if err := table.Reset(n.rules()); err != nil {
		return err
	}
	v6 := exists("/proc/sys/net/ipv6")
	changed, err := h.links.EnableForwarding(v6)
	if err != nil || was || changed {
		return err
	}
	if err := os.Remove(n.marker("forwarding")); err != nil {
		return err
	}
	return table.Reset(n.rules())
}

// rules is everything that the firewall is to hold.
func (n *Networks) rules() firewall.State {
	n.mu.RLock()
	defer n.mu.RUnlock()
	state := firewall.State{DropForward: exists(n.marker("forwarding"))}
	for _, s := range n.byName {
		state.Networks = append(state.Networks, s.rules())
	}
	for _, sb := range n.sandboxes {
		state.Ports = append(state.Ports, sb.rules()...)
	}
	return state
}

func (s *state) rules() firewall.Network {
	out := firewall.Network{Bridge: s.iface, Masquerade: s.masq, Internal: s.rec.Internal}
	for _, c := range s.rec.IPAM.Config {
		out.Subnets = append(out.Subnets, c.Subnet)
	}
	return out
}

func (h *host) close() error {
	var err error
	if h.names != nil {
		err = errors.Join(h.names.Close(), h.ns.Close(), h.table.Close())
	}
	return errors.Join(err, h.links.Close())
}

// forgetFlows ends what the kernel remembers of flows of UDP to ports whose
// target has changed: only the first packet of a flow is looked at.
func (h *host) forgetFlows(ports []firewall.Port) error {
	var errs []error
	for _, p := range ports {
		if p.Protocol == string(network.UDP) {
			errs = append(errs, h.links.ForgetFlows(syscall.IPPROTO_UDP, p.Host.Port(), p.To))
		}
	}
	return errors.Join(errs...)
}

// raiseNetwork makes a network's parts on the host, or what is missing of them.
func (n *Networks) raiseNetwork(s *state) (*raised, error) {
	s.raise.Lock()
	defer s.raise.Unlock()
	n.mu.RLock()
	there := n.byName[s.rec.Name] == s
	n.mu.RUnlock()
	if !there {
		return nil, errGone
	}
	h, err := n.ready()
	if err != nil {
		return nil, err
	}
	index, err := h.links.Ensure(s.bridge())
	if err != nil {
		return nil, err
	}
	if s.up != nil && s.up.index == uint32(index) {
		return s.up, nil
	}
	if s.up != nil { // somebody deleted the bridge, and the name server's place with it
		if err := s.up.close(); err != nil {
			return nil, err
		}
		s.up = nil
	}
	if err := h.table.AddNetwork(s.rules()); err != nil {
		return nil, err
	}
	up := &raised{host: h, index: uint32(index)}
	if err := s.serveNames(n.watch, up); err != nil {
		return nil, errors.Join(err, up.close())
	}
	s.up = up
	return up, nil
}

func (s *state) bridge() bridge.Bridge {
	b := bridge.Bridge{Name: s.iface, Network: s.rec.ID, Group: firewall.Group, MTU: int(s.mtu), MAC: ipam.MAC(s.pools[0].Gateway())}
	for _, pool := range s.pools {
		b.Addresses = append(b.Addresses, netip.PrefixFrom(pool.Gateway(), pool.Subnet().Bits()))
	}
	return b
}

// serveNames gives the name server a place in the network.
func (s *state) serveNames(ctx context.Context, up *raised) (err error) {
	v := bridge.Veth{Host: "vd" + s.rec.ID[:10], Inside: "n" + s.rec.ID[:10], MTU: int(s.mtu), Bridge: s.iface}
	for _, pool := range s.pools {
		if r := pool.Resolver(); r.IsValid() {
			v.Addresses = append(v.Addresses, netip.PrefixFrom(r, pool.Subnet().Bits()))
		}
	}
	if len(v.Addresses) == 0 {
		return nil
	}
	v.MAC = ipam.MAC(v.Addresses[0].Addr())
	h := up.host
	if v.HostIndex, err = h.links.NextIndex(); err != nil {
		return err
	}
	if err := h.links.Attach(h.ns, v); err != nil {
		return err
	}
	up.devices = append(up.devices, v.Host)
	for _, a := range v.Addresses {
		udp, tcp, err := h.ns.Listen(ctx, netip.AddrPortFrom(a.Addr(), dnsPort))
		if err != nil {
			return err
		}
		up.stops = append(up.stops, h.names.Serve(udp, tcp))
	}
	return nil
}

func (up *raised) close() error {
	var errs []error
	for _, stop := range up.stops {
		errs = append(errs, stop())
	}
	for _, d := range up.devices {
		errs = append(errs, up.host.links.Detach(d))
	}
	up.stops, up.devices = nil, nil
	return errors.Join(errs...)
}

// lower removes a network's parts from the host. Call it with raise held.
func (n *Networks) lower(s *state) error {
	if s.up == nil && !exists(n.marker("used")) {
		return nil // never used since the host was booted
	}
	h, err := n.ready()
	if err != nil {
		return err
	}
	if s.up != nil {
		if err := s.up.close(); err != nil {
			return err
		}
		s.up = nil
	}
	if err := h.links.Remove(s.iface); err != nil {
		return fmt.Errorf("remove network %s: %w", s.rec.Name, err)
	}
	return h.table.RemoveNetwork(s.rules())
}
