// Package network keeps networks and joins containers to them: each container
// has its own interfaces, and the host routes between them, the world and
// published ports; or they are at the LAN of one of the host's devices (macvlan, ipvlan).
//
// Level: L2.
// Owns: the records of networks; who is in which with what address, name and port.
// May import: its subrooms, internal/..., ociruntime/plan/netdevice, moby/moby/api.
// Must not know: images, how a container is started, the Docker API's routes.
//
// # Words and life
//
// A network is a record and, from its first use on, a bridge of the host, or a parent:
// a device of the host on which the devices of a macvlan or ipvlan network are made. An
// endpoint is a container's place in one network; a [Sandbox] is a container's
// network namespace with all its endpoints and published ports, and exists while
// the container runs. [Networks.Join] decides everything about it and prepares the
// host; the container's keeper then makes the interfaces ([Sandbox.Pairs]), which
// end with the container; [Networks.Leave] gives back the rest. After a restart of the
// daemon, [Networks.Restore] takes what is in use, and [Networks.Reconcile] makes the host
// agree with that.
//
// # On disk
//
//	networks/            0700, below the data root
//	networks/NAME.json   a network, as Docker's API shows it
//	network/             below the run directory: gone after a reboot
//	network/used         the host was touched since it booted
//	network/forwarding4  berth turned forwarding on: the interfaces that the host had
//	network/forwarding6  the same for IPv6
//
// Addresses and ports in use are in the sandboxes, which the engine keeps with
// the containers that run.
package network

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"berth/network/ipam"
	"berth/network/lan"
	"berth/network/portmap"
	"berth/network/record"
	"berth/network/relay"
	"berth/network/request"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Config says where networks are kept.
type Config struct {
	// Root is the directory of the records, Run one that a reboot empties.
	Root, Run string
	// Suffix tells the bridge of the default network and the table of rules from
	// those of another berthd on this host; empty for the host's usual one.
	Suffix string
	// Lock is a file that all berthds of the host lock while they choose a subnet.
	Lock string
	// ResolvConf is the host's, whose name servers are asked for other names.
	ResolvConf string
	// Bind holds ports of the host; nil where they are those of this network namespace.
	Bind      portmap.Bind
	Elsewhere []netip.Prefix // the host reaches them though no device here shows it: none is chosen
	Log       *slog.Logger
}

// Networks are the networks of a data root. It is safe for concurrent use.
type Networks struct {
	Config
	ports   *portmap.Table
	relay   *relay.Table
	records record.Store

	// change orders creating and removing networks, which look at all others. It is
	// taken before mu.
	change sync.Mutex

	// ruling is held for reading while records and rules change together, and for writing
	// while all rules are made to agree with the records, and while a running container's
	// place changes, so that it does not end meanwhile. It is taken before mu.
	ruling sync.RWMutex

	mu        sync.RWMutex
	byName    map[string]*state     // guarded by mu
	sandboxes map[string]*Sandbox   // guarded by mu; by container
	byAddr    map[netip.Addr]string // guarded by mu; an endpoint's address to its container

	namespaces lan.Namespaces // of running containers with interfaces that the host has no end of

	hostMu sync.Mutex
	host   *host // guarded by hostMu; nil until networks are used
	closed bool  // guarded by hostMu

	watching sync.WaitGroup
	stop     context.CancelFunc
	watch    context.Context // ends with Close
}

// state is a network in memory.
type state struct {
	rec   network.Network
	pools []*ipam.Pool // of its subnets
	request.Options

	// names are guarded by Networks.mu: a name to the endpoints that have it.
	names map[string][]*Endpoint
	// joining is guarded by Networks.mu: how many are about to join, so that it must stay.
	joining int

	raise sync.Mutex // held while its parts on the host are made
	up    *raised    // guarded by raise
	lost  bool       // guarded by raise: it was said that the parent is gone
}

// Open reads the records below c.Root. The host is not touched.
func Open(ctx context.Context, c Config) (*Networks, error) {
	if err := os.MkdirAll(c.Root, 0o700); err != nil {
		return nil, fmt.Errorf("open networks: %w", err)
	}
	n := &Networks{
		Config: c, ports: portmap.NewTable(c.Bind), records: record.Store{Root: c.Root},
		byName: map[string]*state{}, sandboxes: map[string]*Sandbox{}, byAddr: map[netip.Addr]string{},
	}
	n.watch, n.stop = context.WithCancel(context.WithoutCancel(ctx))
	n.relay = relay.New(n.watch, c.Log)
	entries, err := os.ReadDir(c.Root)
	if err != nil {
		return nil, fmt.Errorf("open networks: %w", err)
	}
	for _, e := range entries {
		s, err := n.load(e.Name())
		if err != nil { // nobody knows what it is: it stays
			c.Log.Error("skip network", "file", e.Name(), "error", err)
			continue
		}
		if s != nil {
			n.byName[s.rec.Name] = s
		}
	}
	return n, nil
}

// load reads a network; nil if there is none in the file.
func (n *Networks) load(file string) (*state, error) {
	rec, there, err := n.records.Load(file)
	if err != nil || !there {
		return nil, err
	}
	return newState(rec)
}

// Close ends the name server and gives up what is held. Bridges, rules and
// running containers' interfaces stay.
func (n *Networks) Close() error {
	n.stop()
	n.watching.Wait()
	n.namespaces.Close()
	err := n.relay.Close()
	n.hostMu.Lock()
	defer n.hostMu.Unlock()
	h := n.host
	n.host, n.closed = nil, true
	if h != nil {
		err = errors.Join(err, h.close())
	}
	return err
}

// predefined are the networks that are no bridge.
func predefined(name string) (network.Network, bool) {
	if name != network.NetworkHost && name != network.NetworkNone {
		return network.Network{}, false
	}
	driver := name
	if name == network.NetworkNone {
		driver = "null"
	}
	return network.Network{
		Name: name, ID: idOf("predefined " + name), Scope: "local", Driver: driver, EnableIPv4: true,
		IPAM: network.IPAM{Driver: "default", Config: []network.IPAMConfig{}}, Options: map[string]string{}, Labels: map[string]string{},
	}, true
}

// find returns a network by id, prefix of an id, or name.
func (n *Networks) find(ref string) (*state, error) {
	if ref == "" || ref == network.NetworkDefault {
		ref = network.NetworkBridge
	}
	if ref == network.NetworkBridge || ref == n.defaultID() {
		if err := n.ensureDefault(); err != nil {
			return nil, err
		}
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if s := n.byName[ref]; s != nil {
		return s, nil
	}
	var found *state
	for _, s := range n.byName {
		switch {
		case s.rec.ID == ref:
			return s, nil
		case !strings.HasPrefix(s.rec.ID, ref):
		case found != nil:
			return nil, invalid("network %s is ambiguous: several ids begin so", ref)
		default:
			found = s
		}
	}
	if found == nil {
		return nil, noNetwork(ref)
	}
	return found, nil
}

// noNetwork uses Docker's words: its clients look for them.
func noNetwork(ref string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found: see berth network ls", clip(ref)))
}

// Get returns one network with who is in it.
func (n *Networks) Get(ref string) (network.Inspect, error) {
	for _, name := range []string{network.NetworkHost, network.NetworkNone} {
		rec, _ := predefined(name)
		if ref == name || len(ref) >= 12 && strings.HasPrefix(rec.ID, ref) {
			return network.Inspect{Network: rec, Containers: map[string]network.EndpointResource{}}, nil
		}
	}
	s, err := n.find(ref)
	if err != nil {
		return network.Inspect{}, err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.inspect(s), nil
}

// List returns all networks, ordered by name.
func (n *Networks) List() []network.Inspect {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var all []network.Inspect
	if n.byName[network.NetworkBridge] == nil { // it is made when it is used
		all = append(all, network.Inspect{
			Network:    network.Network{Name: network.NetworkBridge, ID: n.defaultID(), Scope: "local", Driver: "bridge", EnableIPv4: true},
			Containers: map[string]network.EndpointResource{},
		})
	}
	for _, s := range n.byName {
		all = append(all, n.inspect(s))
	}
	for _, name := range []string{network.NetworkHost, network.NetworkNone} {
		rec, _ := predefined(name)
		all = append(all, network.Inspect{Network: rec, Containers: map[string]network.EndpointResource{}})
	}
	slices.SortFunc(all, func(a, b network.Inspect) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// inspect shows a network. Call it with mu held.
func (n *Networks) inspect(s *state) network.Inspect {
	out := network.Inspect{Network: s.rec, Containers: map[string]network.EndpointResource{}}
	for id, sb := range n.sandboxes {
		for _, ep := range sb.Endpoints {
			if ep.Network != s.rec.ID {
				continue
			}
			r := network.EndpointResource{Name: sb.Name, EndpointID: ep.ID, MacAddress: network.HardwareAddr(ep.MAC)}
			for _, a := range ep.Addresses {
				if a.Addr().Is4() {
					r.IPv4Address = a
				} else {
					r.IPv6Address = a
				}
			}
			out.Containers[id] = r
		}
	}
	return out
}

// states returns all networks.
func (n *Networks) states() []*state {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return slices.Collect(maps.Values(n.byName))
}

// inUse counts the running containers of a network.
func (n *Networks) inUse(s *state) []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.inUseLocked(s)
}

func (n *Networks) inUseLocked(s *state) (names []string) {
	for _, sb := range n.sandboxes {
		if sb.In(s.rec.ID) != nil {
			names = append(names, sb.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Remove removes a network. One that is in use is of class Conflict, a predefined
// one of class PermissionDenied.
func (n *Networks) Remove(ref string) (network.Network, error) {
	if rec, ok := predefined(ref); ok || ref == network.NetworkBridge || ref == network.NetworkDefault || ref == n.defaultID() || ref == "" {
		return rec, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("%s is a pre-defined network and cannot be removed", ref))
	}
	n.change.Lock()
	defer n.change.Unlock()
	s, err := n.find(ref)
	if err != nil {
		return network.Network{}, err
	}
	if s.rec.Name == network.NetworkBridge {
		return s.rec, errdefs.ErrPermissionDenied.WithMessage("bridge is a pre-defined network and cannot be removed")
	}
	n.ruling.RLock()
	defer n.ruling.RUnlock()
	s.raise.Lock()
	defer s.raise.Unlock()
	n.mu.Lock()
	users := n.inUseLocked(s)
	if len(users) == 0 && s.joining == 0 { // from here on nobody finds it
		delete(n.byName, s.rec.Name)
	}
	n.mu.Unlock()
	if len(users) == 0 && s.joining > 0 {
		users = []string{"a container that starts"}
	}
	if len(users) > 0 {
		return s.rec, errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"network %s is in use by %s: stop or disconnect them first", s.rec.Name, strings.Join(users, ", ")))
	}
	if err := n.lower(s); err != nil {
		n.put(s)
		return s.rec, err
	}
	if err := n.records.Remove(s.rec.Name); err != nil {
		n.put(s)
		return s.rec, err
	}
	return s.rec, nil
}

// hold finds networks that are to be joined, and keeps them until release.
func (n *Networks) hold(wants []Want) (release func(), err error) {
	var held []*state
	release = func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, s := range held {
			s.joining--
		}
	}
	for _, w := range wants {
		s, err := n.find(w.Ref)
		if err != nil {
			release()
			return nil, err
		}
		n.mu.Lock()
		there := n.byName[s.rec.Name] == s
		if there {
			s.joining++
			held = append(held, s)
		}
		n.mu.Unlock()
		if !there {
			release()
			return nil, noNetwork(w.Ref)
		}
	}
	return release, nil
}

func (n *Networks) put(s *state) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.byName[s.rec.Name] = s
}

func idOf(what string) string { return hex.EncodeToString(digest(what)) }

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func clip(s string) string { return s[:min(len(s), 200)] }

// errGone says that a network was removed while a container was about to join it.
var errGone = errors.New("the network was removed just now")
