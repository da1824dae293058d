package network

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Restore takes what a container has that runs already. Call [Networks.Reconcile]
// after the last.
func (n *Networks) Restore(sb *Sandbox) error {
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
	n.admit(sb)
	return errors.Join(errs...)
}

// Reconcile makes the host agree with the running containers after a restart of
// the daemon.
func (n *Networks) Reconcile() error {
	if !exists(n.marker("used")) {
		return nil
	}
	return n.repair()
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
	var errs []error
	intact, err := h.table.Intact()
	errs = append(errs, err)
	if err == nil && !intact {
		n.Log.Warn("the rules of networks are gone or changed: they are written again")
		errs = append(errs, h.table.Reset(n.rules()))
	}
	for _, s := range n.states() {
		if len(n.inUse(s)) == 0 {
			continue
		}
		errs = append(errs, n.repairBridge(s))
	}
	return errors.Join(errs...)
}

// repairBridge makes a bridge again, and its ports.
func (n *Networks) repairBridge(s *state) error {
	s.raise.Lock()
	before := s.up
	s.raise.Unlock()
	up, err := n.raiseNetwork(s)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if up == before { // the bridge is there: with its addresses?
		_, err := up.host.links.Ensure(s.bridge())
		return err
	}
	if before != nil {
		n.Log.Warn("the bridge of a network was gone and is made again", "network", s.rec.Name, "bridge", s.iface)
	}
	var errs []error
	for _, ep := range n.endpoints(s) {
		errs = append(errs, up.host.links.Port(ep.Host, s.iface, ep.Isolated))
	}
	return errors.Join(errs...)
}

// endpoints are those of a network.
func (n *Networks) endpoints(s *state) (all []*Endpoint) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, sb := range n.sandboxes {
		if ep := sb.endpoint(s.rec.ID); ep != nil {
			all = append(all, ep)
		}
	}
	slices.SortFunc(all, func(a, b *Endpoint) int { return int(a.HostIndex) - int(b.HostIndex) })
	return all
}
