package network

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"berth/network/ipam"
	"berth/network/lan"
	"berth/network/request"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

const (
	// defaultBridge is the bridge of the network that containers join if nothing is said.
	defaultBridge = "berth0"
	// defaultBits is the length of that network's subnet: as many addresses as a
	// bridge can have ports (1,023).
	defaultBits = 22
)

func digest(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// Create makes a network. A bad request is of class InvalidArgument; a name that
// is taken, or a subnet in use, of class Conflict.
func (n *Networks) Create(r network.CreateRequest) (network.Network, error) {
	if err := request.CheckName(r.Name); err != nil {
		return network.Network{}, err
	}
	if _, ok := predefined(r.Name); ok || r.Name == network.NetworkBridge || r.Name == network.NetworkDefault {
		return network.Network{}, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("operation is not permitted on predefined %s network: choose another name", r.Name))
	}
	if err := request.Check(r); err != nil {
		return network.Network{}, err
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	n.change.Lock()
	defer n.change.Unlock()
	return n.create(r, hex.EncodeToString(id))
}

// ensureDefault makes the record of the default network if there is none.
func (n *Networks) ensureDefault() error {
	n.mu.RLock()
	there := n.byName[network.NetworkBridge] != nil
	n.mu.RUnlock()
	if there {
		return nil
	}
	n.change.Lock()
	defer n.change.Unlock()
	n.mu.RLock()
	there = n.byName[network.NetworkBridge] != nil
	n.mu.RUnlock()
	if there {
		return nil
	}
	_, err := n.create(network.CreateRequest{
		Name: network.NetworkBridge, Driver: "bridge",
		Options: map[string]string{request.OptName: n.bridgeName(), request.OptDefault: "true"},
	}, n.defaultID())
	return err
}

// defaultID is the id of the default network: of a data root always the same, so
// that it can be shown before it is made.
func (n *Networks) defaultID() string { return idOf("default network of " + n.Root) }

func (n *Networks) bridgeName() string {
	if n.Suffix == "" {
		return defaultBridge
	}
	return defaultBridge + "-" + n.Suffix
}

// create completes a request, stores it, makes the bridge or parent and shows it. Call it
// with change held.
func (n *Networks) create(r network.CreateRequest, id string) (network.Network, error) {
	rec := network.Network{
		Name: r.Name, ID: id, Created: time.Now().UTC(), Scope: "local", Driver: "bridge",
		EnableIPv4: r.EnableIPv4 == nil || *r.EnableIPv4, EnableIPv6: r.EnableIPv6 != nil && *r.EnableIPv6,
		Internal: r.Internal, Attachable: r.Attachable,
		Options: nonNil(r.Options), Labels: nonNil(r.Labels),
		IPAM: network.IPAM{Driver: "default", Options: map[string]string{}, Config: []network.IPAMConfig{}},
	}
	if lan.Is(r.Driver) {
		rec.Driver = r.Driver
		rec.Internal = rec.Internal || rec.Options[lan.OptParent] == "" // it leads nowhere
	}
	if err := n.free(rec.Name, rec.Options[request.OptName]); err != nil {
		return rec, err
	}
	if r.IPAM != nil {
		rec.IPAM.Config = slices.Clone(r.IPAM.Config)
	}
	unlock, err := n.lockHost()
	if err != nil {
		return rec, err
	}
	defer unlock()
	if err := n.complete(&rec, r.EnableIPv6 == nil); err != nil {
		return rec, err
	}
	s, err := newState(rec)
	if err != nil {
		return rec, err
	}
	if err := n.records.Save(rec); err != nil {
		return rec, err
	}
	// The subnet is taken for everybody when the bridge has it.
	h, err := n.open()
	if err == nil && s.Lan != nil {
		err = n.tryLan(h, s)
	} else if err == nil {
		_, err = h.links.Ensure(s.bridge())
	}
	if err != nil {
		return rec, errors.Join(fmt.Errorf("make network %s: %w", rec.Name, err), n.records.Remove(rec.Name))
	}
	n.put(s)
	return rec, nil
}

// lockHost keeps other berthds of this host from choosing a subnet.
func (n *Networks) lockHost() (unlock func(), err error) {
	f, err := os.OpenFile(n.Lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(&os.PathError{Op: "lock", Path: n.Lock, Err: err}, f.Close())
	}
	return func() { _ = f.Close() }, nil // which unlocks it
}

// free says whether no other network has the name or the bridge.
func (n *Networks) free(name, iface string) error {
	for _, s := range n.states() {
		if s.rec.Name == name {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("network with name %s already exists: choose another", name))
		}
		if iface != "" && s.Lan == nil && s.Iface == iface {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("bridge %s belongs to network %s: choose another name for it", iface, s.rec.Name))
		}
	}
	return nil
}

// complete chooses the subnets that the request leaves open, and checks the others
// against those in use. A subnet of IPv6 asks for IPv6 if guess is set.
func (n *Networks) complete(rec *network.Network, guess bool) error {
	var have4, have6 int
	for _, c := range rec.IPAM.Config {
		if !c.Subnet.IsValid() {
			return invalid("network %s: an address range or gateway needs its --subnet", rec.Name)
		}
		if c.Subnet.Addr().Is4() {
			have4++
		} else {
			have6++
			rec.EnableIPv6 = rec.EnableIPv6 || guess
		}
	}
	switch {
	case have4 > 1 || have6 > 1:
		return invalid("network %s: give at most one subnet of IPv4 and one of IPv6", rec.Name)
	case !rec.EnableIPv4 && !rec.EnableIPv6:
		return invalid("network %s: IPv4 or IPv6 must be enabled", rec.Name)
	case have4 > 0 && !rec.EnableIPv4, have6 > 0 && !rec.EnableIPv6:
		return invalid("network %s: a subnet is given of a family that is not enabled", rec.Name)
	}
	if err := n.checkIPv6(rec); err != nil {
		return err
	}
	used, err := n.used()
	if err != nil {
		return err
	}
	others := used
	if lan.Is(rec.Driver) { // of such a subnet the host gets neither a route nor an address, and it may be at the same LAN
		others = nil
	}
	for _, c := range rec.IPAM.Config {
		if err := n.clash(c.Subnet, others); err != nil {
			return err
		}
	}
	if rec.EnableIPv4 && have4 == 0 {
		pools := ipam.DefaultPools()
		if rec.Name == network.NetworkBridge {
			for i := range pools {
				pools[i].Bits = defaultBits
			}
		}
		subnet, err := ipam.Choose(pools, slices.Concat(n.subnets(), n.Elsewhere, used))
		if err != nil {
			return err
		}
		rec.IPAM.Config = append(rec.IPAM.Config, network.IPAMConfig{Subnet: subnet})
	}
	if rec.EnableIPv6 && have6 == 0 {
		rec.IPAM.Config = append(rec.IPAM.Config, network.IPAMConfig{Subnet: ipam.ULA(rec.ID)})
	}
	return nil
}

// checkIPv6 refuses a network with IPv6 on a host that has none.
func (n *Networks) checkIPv6(rec *network.Network) error {
	if !rec.EnableIPv6 {
		return nil
	}
	h, err := n.open()
	if err != nil {
		return err
	}
	off, err := h.links.IPv6Off()
	if err != nil || !off {
		return err
	}
	return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
		"network %s: IPv6 is turned off on this host: make the network without, or set net.ipv6.conf.all.disable_ipv6=0 (or boot without ipv6.disable=1)", rec.Name))
}

// subnets are those of all networks.
func (n *Networks) subnets() (all []netip.Prefix) {
	for _, s := range n.states() {
		for _, c := range s.rec.IPAM.Config {
			all = append(all, c.Subnet)
		}
	}
	return all
}

// used are the prefixes that the host has routes or addresses in.
func (n *Networks) used() ([]netip.Prefix, error) {
	h, err := n.open()
	if err != nil {
		return nil, err
	}
	return h.links.Prefixes()
}

// clash refuses a subnet that would hide something from the host. A route that is
// wider, of a VPN say, hides nothing: the more specific one wins.
func (n *Networks) clash(subnet netip.Prefix, host []netip.Prefix) error {
	for _, s := range n.states() {
		for _, c := range s.rec.IPAM.Config {
			if c.Subnet.Overlaps(subnet) {
				return errdefs.ErrConflict.WithMessage(fmt.Sprintf("subnet %s overlaps %s of network %s: choose another, or leave --subnet out", subnet, c.Subnet, s.rec.Name))
			}
		}
	}
	for _, p := range host {
		if p.Overlaps(subnet) && p.Bits() >= subnet.Bits() {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("subnet %s overlaps %s, which the host has a route or an address in: choose another, or leave --subnet out", subnet, p))
		}
	}
	return nil
}

// newState checks a record and makes its pools.
func newState(rec network.Network) (*state, error) {
	o, err := request.ReadOptions(rec)
	if err != nil {
		return nil, err
	}
	s := &state{rec: rec, Options: o, names: map[string][]*Endpoint{}}
	for i, c := range rec.IPAM.Config {
		var taken []netip.Addr
		for _, a := range c.AuxAddress {
			taken = append(taken, a)
		}
		pool, err := ipam.New(ipam.Config{Subnet: c.Subnet, Range: c.IPRange, Gateway: c.Gateway, Taken: taken, Shared: s.Lan != nil})
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", rec.Name, err)
		}
		rec.IPAM.Config[i].Gateway = pool.Gateway()
		s.pools = append(s.pools, pool)
	}
	return s, nil
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}
