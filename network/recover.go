package network

import (
	"context"
	"errors"
	"time"

	"berth/network/portmap"

	"github.com/containerd/errdefs"
)

// Restore takes what a container has that runs already, with the first process pid. If its ports are
// not those of the request, as its daemon was killed while they were changed, they become so. It returns what the
// container has then. Call [Networks.Reconcile] after the last.
func (n *Networks) Restore(sb *Sandbox, ports []portmap.Want, pid int) (*Sandbox, error) {
	var errs []error
	for _, ep := range sb.Endpoints {
		n.mu.RLock()
		s := n.byName[ep.NetworkName]
		n.mu.RUnlock()
		if s == nil || s.rec.ID != ep.Network {
			errs = append(errs, noNetwork(ep.NetworkName))
			continue
		}
		for _, pool := range s.pools {
			for _, a := range ep.Addresses {
				if pool.Subnet().Contains(a.Addr()) {
					_, err := pool.Take(a.Addr())
					errs = append(errs, err)
				}
			}
		}
	}
	// The firewall leads the port to the container anyway: whoever took it meanwhile
	// gets nothing there.
	errs = append(errs, n.ports.Restore(sb.Name, sb.Ports))
	if gw := sb.Publishes(); gw != nil {
		before := sb.Ports
		wants, err := n.bound(gw, ports)
		if err == nil {
			sb.Ports, err = n.ports.Follow(sb.Name, before, wants, gw.Families())
		}
		errs = append(errs, err, n.forgetLeft(sb, before))
	}
	n.admit(sb)
	n.relayInstead(nil, sb)
	errs = append(errs, n.Entered(sb.Container, pid))
	return sb.Clone(), errors.Join(errs...)
}

// Reconcile makes the host agree with the running containers after a restart of
// the daemon.
func (n *Networks) Reconcile() error {
	if !exists(n.marker("used")) {
		return nil
	}
	err := n.repair()
	if h, e := n.open(); e == nil {
		err = errors.Join(err, h.links.SweepShapers())
	}
	return err
}

// repairAlways repairs what others break, until ctx ends.
func (n *Networks) repairAlways(ctx context.Context) {
	tick := time.NewTicker(repairEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := n.repair(); err != nil {
			n.Log.Error("repair networks", "error", err)
		}
	}
}

// repair makes again what is missing on the host: rules, and bridges with their
// ports. What is there is left alone.
func (n *Networks) repair() error {
	h, err := n.ready()
	if err != nil {
		return err
	}
	errs := []error{n.repairRules(h), n.repairLimits(h), n.repairForwarding(h), h.links.Sweep()}
	for _, s := range n.states() {
		if len(n.inUse(s)) == 0 {
			continue
		}
		errs = append(errs, n.repairNetwork(s))
	}
	return errors.Join(errs...)
}

// repairRules makes the firewall's rules again, and what they say of networks and ports.
func (n *Networks) repairRules(h *host) error {
	n.ruling.Lock()
	defer n.ruling.Unlock()
	intact, err := h.table.Intact()
	if err != nil {
		return err
	}
	rules := n.rules()
	if !intact {
		n.Log.Warn("the rules of networks are gone or changed: they are written again")
		return h.table.Reset(rules)
	}
	var errs []error
	for _, s := range rules.Networks {
		errs = append(errs, h.table.AddNetwork(s))
	}
	if len(rules.Ports) > 0 {
		errs = append(errs, h.table.AddPorts(rules.Ports))
	}
	return errors.Join(errs...)
}

// repairNetwork makes a bridge or parent again, and what is on it.
func (n *Networks) repairNetwork(s *state) error {
	s.raise.Lock()
	before := s.up
	whole, err := before.whole()
	if err == nil && !whole { // the name server's place is gone
		err = before.close()
		s.up = nil
	}
	s.raise.Unlock()
	if err != nil {
		return err
	}
	up, err := n.raiseNetwork(s)
	if errors.Is(err, errGone) || n.stillLost(s, err) {
		return nil
	}
	if err != nil {
		return err
	}
	if up == before { // the bridge is there: with its addresses?
		_, err := s.ensure(up.host)
		return err
	}
	if before != nil {
		n.Log.Warn("the bridge, parent or name server of a network was gone and is there again", "network", s.rec.Name, "device", s.Iface)
	}
	return nil
}

// stillLost says whether a network's parent is gone, a device that is not ours to make,
// and that was said before.
func (n *Networks) stillLost(s *state, err error) bool {
	s.raise.Lock()
	defer s.raise.Unlock()
	before := s.lost
	s.lost = s.Lan != nil && errdefs.IsNotFound(err)
	return before && s.lost
}

// whole says whether the name server's devices are there.
func (up *raised) whole() (bool, error) {
	if up == nil {
		return true, nil
	}
	for _, d := range up.devices {
		if ok, err := up.host.links.Exists(d); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// endpoints are those of a network, by container.
func (n *Networks) endpoints(s *state) map[string]*Endpoint {
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := map[string]*Endpoint{}
	for id, sb := range n.sandboxes {
		if ep := sb.In(s.rec.ID); ep != nil {
			all[id] = ep
		}
	}
	return all
}
