// Package firewall keeps the packet rules of berth's networks in one nftables
// table.
//
// Level: L2, a subroom of network.
// Owns: one table of family inet; nothing of the host's own tables.
// May import: google/nftables.
// Must not know: how links, addresses and sysctls are made; names of networks.
//
// # What the rules do
//
// Rules never change between two calls of Reset. What changes are elements of
// sets and maps: bridges, subnets, published ports; so a packet's way costs the
// same with one port or with a thousand. The live table is written down in
// testdata/base.nft. In the order in which a packet meets the chains:
//
//	loopback     prerouting, filter, priority raw (-300). Packets from or to
//	             127.0.0.0/8 that come over a wire are dropped: bridges have
//	             route_localnet set, and with it the kernel's own check is off.
//	             Before connection tracking, so that replies to connections
//	             of the host's loopback address, which still bear the gateway's, pass.
//	prerouting   prerouting, nat, dstnat (-100), and
//	output       output, nat, dstnat (-100). A packet to one of the host's own
//	             addresses and a published port is sent to the container (chain
//	             published). A port of one address wins over a port of all.
//	forward      forward, filter, priority filter (0). Within one bridge everything
//	             passes. Nothing else enters or leaves an internal network. Into
//	             a bridge (chain inward) go connections to published ports, their
//	             replies, and, from elsewhere than another bridge, what
//	             belongs to a connection that the container opened.
//	postrouting  postrouting, nat, srcnat (100). Masquerades packets of masqueraded
//	             subnets that leave by an interface that is none of the
//	             bridges; packets of the host's loopback address to a bridge; and
//	             published connections that go back into the bridge they came from,
//	             as the reply would else bypass the host. All other packets
//	             keep their source: a container sees who its client is.
//
// # Together with the host's firewall
//
// Each table at a hook judges a packet; a drop of one is final, an accept ends
// only that one's judgement. Our accept therefore opens nothing that a rule of
// the host drops, at whatever priority, and our drop cannot be undone there. For
// who writes rules of the host:
//
//   - Packets to published ports never meet the host's input chains, as with
//     docker: they are forwarded. A rule for them stands in a forward chain, where
//     the destination is the container; what the client asked for is
//     "ct original ip daddr" and "ct original proto-dst". Or it stands in
//     prerouting before priority dstnat.
//   - A forward chain with policy drop has to accept packets from and to
//     berth's bridges, or containers have no network beyond their own bridge.
//   - A nat chain at a priority before dstnat or srcnat that has already decided on a
//     connection wins over ours.
//   - Rules put into this table are lost at the next Reset.
//
// A container of an internal network reaches the host's own processes (the input hook)
// at the gateway's address, as with docker; at other addresses of the host,
// only if it has a route there, which berth does not give it. Published
// ports of other networks it does not reach.
//
// # What stays with the caller
//
// Forwarding and route_localnet sysctls; hairpin mode of the bridges' ports, without
// which a container does not reach its own published port where br_netfilter is
// loaded (packets that are sent back are then bridged, not routed); connection tracking entries: a UDP
// "connection" to a port that was published or removed a moment ago keeps its way
// until its entry is deleted.
//
// The host's 127.0.0.1 leads to published ports of IPv4, but its ::1 not to those of
// IPv6: the kernel has no way back. The host's other IPv6 addresses do. Packets to ::1 are left
// to who listens there.
package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/google/nftables"
)

// Network is what the rules know about a network.
type Network struct {
	Bridge     string         // name of the bridge's interface
	Subnets    []netip.Prefix // used for masquerading only
	Masquerade bool           // packets to the outside get the host's address
	// Isolated: its members reach the host and the world, not each other, also not by way of the
	// host; and the name server at Resolvers.
	Isolated  bool
	Resolvers []netip.Addr
	Internal  bool // no packets to or from the outside, nor other networks
}

// Port is a published port. Host and Protocol name it; To is where it leads.
type Port struct {
	Protocol string         // tcp, udp or sctp
	Host     netip.AddrPort // an unspecified address: every address of that family
	To       netip.AddrPort // the container's, of the same family as Host
}

// State is everything that the table holds.
type State struct {
	Networks []Network
	Ports    []Port
	// Uplinks4 and Uplinks6 are interfaces between which nothing is forwarded: those that a host
	// had that was no router before berth turned forwarding on. What
	// comes later, as another engine's bridge, is its owner's to judge.
	Uplinks4, Uplinks6 []string
}

// Table is the nftables table of one network namespace. It is safe for concurrent use.
type Table struct {
	name  string
	netns *os.File // where the table is, whatever thread calls

	mu      sync.Mutex // one batch at a time
	written bool       // Reset has succeeded
}

// Open returns the table called name in the network namespace of the calling
// thread. It changes nothing yet. Without nftables in the kernel the error's class is
// NotImplemented.
func Open(name string) (*Table, error) {
	if err := checkTableName(name); err != nil {
		return nil, err
	}
	netns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open the network namespace of nftables table %s: %w", name, err)
	}
	t := &Table{name: name, netns: netns}
	if _, err := t.exists(); err != nil {
		return nil, errors.Join(fmt.Errorf("open nftables table %s: %w", name, noNftables(err)), netns.Close())
	}
	return t, nil
}

// Name is the table's name.
func (t *Table) Name() string { return t.name }

// Close gives up the network namespace; the table and its rules stay.
func (t *Table) Close() error { return t.netns.Close() }

// Reset writes the whole table anew. It is one atomic change: there is no
// moment without rules, and connections go on.
func (t *Table) Reset(s State) error {
	e := newElements()
	for _, name := range s.Uplinks4 {
		e.put(setUplinks4, nftables.SetElement{Key: ifname(name)})
	}
	for _, name := range s.Uplinks6 {
		e.put(setUplinks6, nftables.SetElement{Key: ifname(name)})
	}
	for _, n := range s.Networks {
		if err := e.addNetwork(n); err != nil {
			return err
		}
	}
	if err := e.addPorts(s.Ports); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.batch(func(c *nftables.Conn, table *nftables.Table) error {
		c.AddTable(table) // so that there is one to delete
		c.DelTable(table)
		c.AddTable(table)
		if err := addSets(c, table); err != nil {
			return err
		}
		addRules(c, table)
		return e.add(c, table)
	})
	if !errors.Is(err, syscall.EINVAL) { // which would be our mistake here
		err = noNftables(err)
	}
	if err != nil {
		return fmt.Errorf("write nftables table %s: %w", t.name, taken(err))
	}
	t.written = true
	return nil
}

// AddNetwork adds one network; adding the same again is no error.
func (t *Table) AddNetwork(n Network) error {
	e := newElements()
	if err := e.addNetwork(n); err != nil {
		return err
	}
	if err := t.change(e, elements.add); err != nil {
		return fmt.Errorf("add network of bridge %s to nftables table %s: %w", n.Bridge, t.name, err)
	}
	return nil
}

// RemoveNetwork removes what AddNetwork has added; what is not there is no error.
func (t *Table) RemoveNetwork(n Network) error {
	e := newElements()
	if err := e.addNetwork(n); err != nil {
		return err
	}
	if err := t.remove(e); err != nil {
		return fmt.Errorf("remove network of bridge %s from nftables table %s: %w", n.Bridge, t.name, err)
	}
	return nil
}

// AddPorts publishes ports, all of them or none. A port that leads elsewhere
// already is an error of class AlreadyExists; the same port again is none.
func (t *Table) AddPorts(ports []Port) error {
	e := newElements()
	if err := e.addPorts(ports); err != nil {
		return err
	}
	if err := t.change(e, elements.add); err != nil {
		return fmt.Errorf("publish %s in nftables table %s: %w", describe(ports), t.name, err)
	}
	return nil
}

// RemovePorts ends the publishing of ports; what is not there is no error. Host
// and Protocol count: a port that leads elsewhere by now is removed, too.
func (t *Table) RemovePorts(ports []Port) error {
	e := newElements()
	if err := e.endPorts(ports); err != nil {
		return err
	}
	if err := t.remove(e); err != nil {
		return fmt.Errorf("remove %s from nftables table %s: %w", describe(ports), t.name, err)
	}
	return nil
}

// MovePorts ends the publishing of ports and publishes others, all of it or nothing; what is
// published no more already is no error.
func (t *Table) MovePorts(from, to []Port) error {
	out, in := newElements(), newElements()
	if err := errors.Join(out.endPorts(from), in.addPorts(to)); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.batch(func(c *nftables.Conn, table *nftables.Table) error {
		return errors.Join(out.remove(c, table), in.add(c, table))
	})
	if errors.Is(err, syscall.ENOENT) { // one of from, or the table
		if err = t.removeLocked(out); err == nil {
			err = t.changeLocked(in, elements.add)
		}
	}
	if err != nil {
		return fmt.Errorf("publish %s instead of %s in nftables table %s: %w", describe(to), describe(from), t.name, taken(err))
	}
	return nil
}

// Delete removes the table with all its rules. Deleting what is not there is no error.
func (t *Table) Delete() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.batch(func(c *nftables.Conn, table *nftables.Table) error {
		c.AddTable(table) // so that there is one to delete
		c.DelTable(table)
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete nftables table %s: %w", t.name, err)
	}
	t.written = false
	return nil
}

func checkTableName(name string) error {
	ok := name != "" && len(name) < 64
	for i, c := range []byte(name) {
		alpha := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		ok = ok && (alpha || i > 0 && (c >= '0' && c <= '9' || c == '_' || c == '-'))
	}
	if ok {
		return nil
	}
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
		"invalid name of an nftables table %.80q: use up to 63 of [a-zA-Z0-9_-], the first a letter", name,
	))
}
