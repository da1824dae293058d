package network

import (
	"fmt"

	"berth/network/capture"

	"github.com/containerd/errdefs"
)

// Capture begins to capture at a running container's interface in a network, that of its
// default route if ref is empty. Class Conflict if it has none.
func (n *Networks) Capture(container, ref string, o capture.Options) (c *capture.Capture, err error) {
	sb := n.Sandbox(container)
	if sb == nil || len(sb.Endpoints) == 0 {
		return nil, errdefs.ErrConflict.WithMessage("container does not run, or is in no network: there is nothing to capture; berth network connect puts it into one")
	}
	ep := sb.Gateway()
	if ref != "" {
		s, err := n.find(ref)
		if err != nil {
			return nil, err
		}
		if ep = sb.In(s.rec.ID); ep == nil {
			return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not in network %s", sb.Name, s.rec.Name))
		}
	}
	if ep == nil { // all are internal
		ep = sb.Endpoints[0]
	}
	h, err := n.open()
	if err != nil {
		return nil, err
	}
	err = h.links.Within(func() error {
		index, err := capture.Device(ep.Host)
		if err == nil {
			c, err = capture.Open(index, o)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("capture at interface %s of container %s: %w", ep.Inside, sb.Name, err)
	}
	return c, nil
}
