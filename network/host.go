package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"berth/internal/atomicfile"
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

// The files that hold the interfaces between which nothing is to be forwarded.
const (
	forwarding4 = "forwarding4"
	forwarding6 = "forwarding6"
)

// repairEvery is how often the host is looked at for what others have removed.
const repairEvery = 5 * time.Second

// host is what berth has on the host for its networks.
type host struct {
	links *bridge.Links
	// Made when the first network is raised, nil before.
	table *firewall.Table
	ns    *bridge.Namespace // of the name server
	names *dns.Server

	forwarded int // how often forwarding was turned on again; guarded by Networks.ruling, for writing
}

// raised is a network that the host has.
type raised struct {
	host    *host
	index   uint32         // the bridge's or parent's
	parent  bridge.Parent  // if there is no bridge
	stops   []func() error // end the name server's listening
	devices []string       // host ends of the name server's devices
	inside  []uint32       // its devices that have none
}

// open gives access to the host's devices; nothing is changed.
func (n *Networks) open() (*host, error) {
	n.hostMu.Lock()
	defer n.hostMu.Unlock()
	return n.openLocked()
}

func (n *Networks) openLocked() (*host, error) {
	if n.closed {
		return nil, os.ErrClosed
	}
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
	if err := os.WriteFile(n.marker("used"), nil, 0o600); err != nil {
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

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// allowForwarding turns the host into a router for berth's networks. If it was
// none, the rules keep it from being one between the interfaces that it has now:
// they come first. Those are remembered until the host is booted.
func (n *Networks) allowForwarding(h *host, table *firewall.Table) error {
	v4, v6, err := h.links.Forwarding()
	if err != nil {
		return err
	}
	names, err := h.links.Names()
	if err != nil {
		return err
	}
	for marker, forwards := range map[string]bool{forwarding4: v4, forwarding6: v6} {
		if forwards || exists(n.marker(marker)) {
			continue
		}
		err := atomicfile.WriteVolatile(n.marker(marker), []byte(strings.Join(names, "\n")), 0o600)
		if err != nil {
			return err
		}
	}
	if err := table.Reset(n.rules()); err != nil {
		return err
	}
	_, err = h.links.EnableForwarding(true)
	return err
}

// maxForwarding bounds how often a berthd turns forwarding on again: whoever turns it off
// each time means it.
const maxForwarding = 5

// repairForwarding turns forwarding on again after somebody has turned it off.
func (n *Networks) repairForwarding(h *host) error {
	n.ruling.Lock()
	defer n.ruling.Unlock()
	v4, v6, err := h.links.Forwarding()
	if err != nil || v4 && (v6 || !h.links.IPv6()) || h.forwarded > maxForwarding {
		return err
	}
	if h.forwarded++; h.forwarded > maxForwarding {
		n.Log.Error("forwarding (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding) is turned off again and again: it stays so; " +
			"containers reach nobody outside until it is on, or berthd restarts")
		return nil
	}
	n.Log.Warn("somebody has turned forwarding off: it is turned on again")
	return n.allowForwarding(h, h.table)
}

// uplinks are the interfaces that the host had when berth made it forward.
func (n *Networks) uplinks(marker string) []string {
	data, err := os.ReadFile(n.marker(marker))
	if err != nil {
		return nil // it was a router before
	}
	return strings.Fields(string(data))
}

// Firewall is the live table of rules, and everything that it is to hold.
func (n *Networks) Firewall() (*firewall.Table, firewall.State, error) {
	h, err := n.ready()
	if err != nil {
		return nil, firewall.State{}, err
	}
	return h.table, n.rules(), nil
}

// rules is everything that the firewall is to hold.
func (n *Networks) rules() firewall.State {
	n.mu.RLock()
	defer n.mu.RUnlock()
	state := firewall.State{Uplinks4: n.uplinks(forwarding4), Uplinks6: n.uplinks(forwarding6)}
	for _, s := range n.byName {
		if s.Lan == nil {
			state.Networks = append(state.Networks, s.rules())
		}
	}
	for _, sb := range n.sandboxes {
		state.Ports = append(state.Ports, sb.Rules()...)
	}
	return state
}

func (s *state) rules() firewall.Network {
	out := firewall.Network{Bridge: s.Iface, Masquerade: s.Masq, Internal: s.rec.Internal, Isolated: !s.ICC}
	for _, pool := range s.pools {
		if r := pool.Resolver(); r.IsValid() {
			out.Resolvers = append(out.Resolvers, r)
		}
	}
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
	var targets []bridge.Target
	for _, p := range ports {
		if p.Protocol == string(network.UDP) {
			targets = append(targets, bridge.Target{Port: p.Host.Port(), To: p.To})
		}
	}
	return h.links.ForgetFlows(syscall.IPPROTO_UDP, targets)
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
	// Whether all of it is as it should be is looked at now and then (repair).
	if s.up != nil {
		if i, err := h.links.Index(s.Iface); err != nil || i == s.up.index {
			return s.up, err
		}
	}
	parent, err := s.ensure(h)
	if err != nil {
		return nil, err
	}
	if s.up != nil { // somebody deleted the bridge or parent, and the name server's place with it
		if err := s.up.close(); err != nil {
			return nil, err
		}
		s.up = nil
	}
	if s.Lan == nil {
		if err := h.table.AddNetwork(s.rules()); err != nil {
			return nil, err
		}
	}
	up := &raised{host: h, index: parent.Index, parent: parent}
	err = s.serveNames(n.watch, up)
	for container, ep := range n.endpoints(s) { // of containers that were there before
		if s.Lan == nil {
			err = errors.Join(err, h.links.Port(ep.Host, s.Iface, ep.Isolated, ep.Hairpin))
		} else if err := n.namespaces.Rejoin(h.links, container, ep.Veth()); err != nil { // which is no reason against the others
			n.Log.Error("give a container its interface again", "network", s.rec.Name, "container", container, "error", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, up.close())
	}
	s.up = up
	return up, nil
}

// ensure makes what interfaces of the network are made on, or what is missing of it.
func (s *state) ensure(h *host) (bridge.Parent, error) {
	if s.Lan != nil {
		return s.ensureLan(h)
	}
	index, err := h.links.Ensure(s.bridge())
	return bridge.Parent{Index: uint32(index)}, err
}

func (s *state) bridge() bridge.Bridge {
	b := bridge.Bridge{Name: s.Iface, Network: s.rec.ID, MTU: int(s.MTU), MAC: ipam.MAC(s.pools[0].Gateway())}
	for _, pool := range s.pools {
		b.Addresses = append(b.Addresses, netip.PrefixFrom(pool.Gateway(), pool.Subnet().Bits()))
	}
	return b
}

// serveNames gives the name server a place in the network.
func (s *state) serveNames(ctx context.Context, up *raised) (err error) {
	v := bridge.Veth{Host: "vd" + s.rec.ID[:10], Inside: "n" + s.rec.ID[:10], MTU: int(s.MTU), Bridge: s.Iface}
	for _, pool := range s.pools {
		if r := pool.Resolver(); r.IsValid() {
			v.Addresses = append(v.Addresses, netip.PrefixFrom(r, pool.Subnet().Bits()))
		}
	}
	if len(v.Addresses) == 0 || s.Lan != nil && !s.Lan.Talks() {
		return nil
	}
	v.MAC = ipam.MAC(v.Addresses[0].Addr())
	h := up.host
	if v.HostIndex, err = h.links.NextIndex(); err != nil {
		return err
	}
	if s.Lan != nil {
		v.Lan, v.InsideIndex = s.Lan, v.HostIndex
	}
	if err := h.links.Attach(h.ns, v); err != nil {
		return err
	}
	if s.Lan != nil {
		up.inside = append(up.inside, v.InsideIndex)
	} else {
		up.devices = append(up.devices, v.Host)
	}
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
	for _, d := range up.inside {
		errs = append(errs, up.host.links.DetachLan(up.host.ns, d))
	}
	up.stops, up.devices, up.inside = nil, nil, nil
	return errors.Join(errs...)
}

// lower removes a network's parts from the host. Call it with raise held.
func (n *Networks) lower(s *state) error {
	if s.up == nil && !exists(n.marker("used")) { // since the host was booted: there are no rules
		h, err := n.open()
		if err == nil {
			err = n.drop(h, s)
		}
		return err
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
	if err := n.drop(h, s); err != nil || s.Lan != nil {
		return err
	}
	return h.table.RemoveNetwork(s.rules())
}

// drop undoes ensure.
func (n *Networks) drop(h *host, s *state) (err error) {
	if s.Lan != nil {
		err = n.removeParent(h, s)
	} else {
		err = h.links.Remove(s.Iface)
	}
	if err != nil {
		return fmt.Errorf("remove network %s: %w", s.rec.Name, err)
	}
	return nil
}
