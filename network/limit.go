package network

import (
	"errors"
	"strings"

	"berth/network/bridge"
	"berth/network/rate"
)

// limitOf is what may pass the interface of a member: what its driver options say,
// else what the network's do.
func (s *state) limitOf(w Want) (rate.Limit, error) {
	if w.Settings == nil {
		return s.Rate, nil
	}
	l, err := s.Rate.With(w.Settings.DriverOpts)
	if err != nil {
		return l, invalid("network %s: driver option %v", s.rec.Name, err)
	}
	if s.Lan != nil && l != (rate.Limit{}) {
		return l, invalid("network %s: rate limits are set at a bridge, and its driver is %s", s.rec.Name, s.rec.Driver)
	}
	return l, nil
}

// limit gives an endpoint its limits.
func (s *state) limit(ep *Endpoint, w Want, links *bridge.Links) error {
	l, err := s.limitOf(w)
	if err != nil {
		return err
	}
	ep.Limit.In, ep.Limit.Out = l.In, l.Out
	if l.Out == 0 {
		return nil
	}
	ep.Limit.Shaper = bridge.ShaperPrefix + strings.TrimPrefix(ep.Host, bridge.EndPrefix)
	ep.Limit.ShaperIndex, err = links.NextIndex()
	return err
}

// removeShapers removes what the kernel leaves of limits when a container has ended.
func (n *Networks) removeShapers(sb *Sandbox) error {
	var errs []error
	for _, ep := range sb.Endpoints {
		if ep.Limit.Shaper == "" {
			continue
		}
		h, err := n.open()
		if err != nil {
			return err
		}
		errs = append(errs, h.links.RemoveShaper(ep.Limit.Shaper))
	}
	return errors.Join(errs...)
}

// repairLimits makes limits again that somebody has removed.
func (n *Networks) repairLimits(h *host) error {
	if len(n.limited()) == 0 {
		return nil
	}
	n.ruling.Lock() // no container leaves meanwhile: its shaper would stay
	defer n.ruling.Unlock()
	repaired, err := h.links.Repair(n.limited())
	if len(repaired) > 0 {
		n.Log.Warn("rate limits were gone or changed: they are made again", "devices", repaired)
	}
	return err
}

// limited are the host's ends that have limits.
func (n *Networks) limited() (ends []bridge.Limited) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, sb := range n.sandboxes {
		for _, ep := range sb.Endpoints {
			if ep.Limit.In > 0 || ep.Limit.Out > 0 {
				ends = append(ends, bridge.Limited{Host: ep.Host, Limit: ep.Limit})
			}
		}
	}
	return ends
}
