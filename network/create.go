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
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/network/ipam"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// The options of a bridge network, as docker's bridge driver names them.
const (
	optName     = "com.docker.network.bridge.name"
	optICC      = "com.docker.network.bridge.enable_icc"
	optMasq     = "com.docker.network.bridge.enable_ip_masquerade"
	optBinding  = "com.docker.network.bridge.host_binding_ipv4"
	optMTU      = "com.docker.network.driver.mtu"
	optDefault  = "com.docker.network.bridge.default_bridge" // only shown
	defaultMTU  = 1500
	minMTU      = 1280 // RFC 8200: with less Linux has no IPv6 on a device
	maxMTU      = 65535
	maxLabels   = 1000
	maxIfName   = 15
	maxNameSize = 128
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

// CheckName says whether name may name a network: letters, digits, "_", "." and
// "-", the first a letter or digit. Class InvalidArgument.
func CheckName(name string) error {
	ok := name != "" && len(name) <= maxNameSize
	for i, c := range []byte(name) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && strings.IndexByte("_.-", c) >= 0)
	}
	if ok {
		return nil
	}
	return invalid("invalid network name %.80q: use at most %d of [a-zA-Z0-9_.-], the first a letter or digit", name, maxNameSize)
}

// Create makes a network. A bad request is of class InvalidArgument; a name that
// is taken, or a subnet in use, of class Conflict.
func (n *Networks) Create(r network.CreateRequest) (network.Network, error) {
	if err := CheckName(r.Name); err != nil {
		return network.Network{}, err
	}
	if _, ok := predefined(r.Name); ok || r.Name == network.NetworkBridge || r.Name == network.NetworkDefault {
		return network.Network{}, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("operation is not permitted on predefined %s network: choose another name", r.Name))
	}
	if err := supported(r); err != nil {
		return network.Network{}, err
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails (crypto/rand)
	n.change.Lock()
	defer n.change.Unlock()
	return n.create(r, hex.EncodeToString(id))
}

// supported refuses what a bridge network on one machine cannot be.
func supported(r network.CreateRequest) error {
	switch r.Driver {
	case "", "bridge", "default":
	case "host", "null", "none":
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("there is only one %q network: join it with --network %s", r.Driver, r.Driver))
	default:
		return invalid("network driver %q is unknown: use bridge", r.Driver)
	}
	switch {
	case r.Scope != "" && r.Scope != "local":
		return invalid("network scope %q is not supported: only local is", r.Scope)
	case r.Ingress, r.ConfigOnly, r.ConfigFrom != nil && r.ConfigFrom.Network != "":
		return invalid("ingress and config networks belong to a cluster, which berth is not")
	case len(r.Labels) > maxLabels:
		return invalid("the network has %d labels: at most %d are kept", len(r.Labels), maxLabels)
	case r.IPAM != nil && r.IPAM.Driver != "" && r.IPAM.Driver != "default":
		return invalid("IPAM driver %q is unknown: leave it out", r.IPAM.Driver)
	case r.IPAM != nil && len(r.IPAM.Options) > 0:
		return invalid("IPAM option %q is unknown", slices.Sorted(maps.Keys(r.IPAM.Options))[0])
	}
	return nil
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
		Options: map[string]string{optName: n.bridgeName(), optDefault: "true"},
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

// create completes a request, stores it, makes the bridge and shows it. Call it
// with change held.
func (n *Networks) create(r network.CreateRequest, id string) (network.Network, error) {
	rec := network.Network{
		Name: r.Name, ID: id, Created: time.Now().UTC(), Scope: "local", Driver: "bridge",
		EnableIPv4: r.EnableIPv4 == nil || *r.EnableIPv4, EnableIPv6: r.EnableIPv6 != nil && *r.EnableIPv6,
		Internal: r.Internal, Attachable: r.Attachable,
		Options: nonNil(r.Options), Labels: nonNil(r.Labels),
		IPAM: network.IPAM{Driver: "default", Options: map[string]string{}, Config: []network.IPAMConfig{}},
	}
	if err := n.free(rec.Name, rec.Options[optName]); err != nil {
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
	if err := n.save(rec); err != nil {
		return rec, err
	}
	// The subnet is taken for everybody when the bridge has it.
	h, err := n.open()
	if err == nil {
		_, err = h.links.Ensure(s.bridge())
	}
	if err != nil {
		return rec, errors.Join(fmt.Errorf("make network %s: %w", rec.Name, err), n.unlink(rec.Name))
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
		if iface != "" && s.iface == iface {
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
	for _, c := range rec.IPAM.Config {
		if err := n.clash(c.Subnet, used); err != nil {
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
		subnet, err := ipam.Choose(pools, append(n.subnets(), used...))
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
	s := &state{rec: rec, mtu: defaultMTU, icc: true, masq: true, names: map[string][]*Endpoint{}, iface: "br-" + rec.ID[:12]}
	for i, c := range rec.IPAM.Config {
		var taken []netip.Addr
		for _, a := range c.AuxAddress {
			taken = append(taken, a)
		}
		pool, err := ipam.New(ipam.Config{Subnet: c.Subnet, Range: c.IPRange, Gateway: c.Gateway, Taken: taken})
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", rec.Name, err)
		}
		rec.IPAM.Config[i].Gateway = pool.Gateway()
		s.pools = append(s.pools, pool)
	}
	for key, value := range rec.Options {
		if err := s.option(key, value); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *state) option(key, value string) (err error) {
	switch key {
	case optName:
		if value == "" || len(value) > maxIfName || strings.ContainsAny(value, "/: \t\n") || strings.HasPrefix(value, ".") {
			return invalid("%s=%.40q: a bridge's name has 1 to %d characters, no slash, colon or space", key, value, maxIfName)
		}
		s.iface = value
	case optICC:
		s.icc, err = strconv.ParseBool(value)
	case optMasq:
		s.masq, err = strconv.ParseBool(value)
	case optBinding:
		s.bind, err = netip.ParseAddr(value)
		if err == nil && !s.bind.Is4() {
			return invalid("%s=%s: it is an IPv4 address", key, value)
		}
		if s.bind.IsUnspecified() {
			s.bind = netip.Addr{}
		}
	case optMTU:
		var n uint64
		n, err = strconv.ParseUint(value, 10, 32)
		if err == nil && n != 0 {
			if n < minMTU || n > maxMTU {
				return invalid("%s=%s: an MTU is %d to %d", key, value, minMTU, maxMTU)
			}
			s.mtu = uint32(n)
		}
	case optDefault:
	default:
		return invalid("unknown network option %.80q: known are %s", key, strings.Join([]string{optName, optICC, optMasq, optBinding, optMTU}, ", "))
	}
	if err != nil {
		return invalid("%s=%.80q cannot be read: %v", key, value, err)
	}
	return nil
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}
