package lan

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"berth/internal/linux/netns"
	"berth/network/bridge"

	"github.com/containerd/errdefs"
)

// Namespaces are the network namespaces of running containers that have such
// interfaces. The zero value has none; it is safe for concurrent use.
type Namespaces struct {
	mu   sync.RWMutex
	open map[string]*os.File // guarded by mu; by container
}

// Enter opens the namespace of a container with the first process pid, once. That the
// process has ended is no error.
func (n *Namespaces) Enter(container string, pid int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open[container] != nil {
		return nil
	}
	ns, err := netns.Open(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open network namespace of container %.12s: %w", container, err)
	}
	if n.open == nil {
		n.open = map[string]*os.File{}
	}
	n.open[container] = ns
	return nil
}

// Close closes all.
func (n *Namespaces) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, ns := range n.open {
		ns.Close()
	}
	n.open = nil
}

// get opens a namespace again, as it may be closed meanwhile; nil if it is not known.
func (n *Namespaces) get(container string) (*os.File, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	ns := n.open[container]
	if ns == nil {
		return nil, nil //nolint:nilnil // the container has ended
	}
	return os.Open("/proc/self/fd/" + strconv.Itoa(int(ns.Fd()))) //nolint:gosec // a file's number is small
}

// Unplug takes an interface out of the running container with the first process pid.
func (n *Namespaces) Unplug(l *bridge.Links, container string, pid int, v bridge.Veth) error {
	ns, err := n.get(container)
	if err == nil && ns == nil {
		ns, err = netns.Open(pid)
	}
	if err != nil {
		return err
	}
	defer ns.Close()
	return l.RemoveInside(ns, v.InsideIndex)
}

// Rejoin gives a container an interface again that went with the parent.
func (n *Namespaces) Rejoin(l *bridge.Links, container string, v bridge.Veth) error {
	devices, ns, err := n.look(l, container)
	if err != nil || ns == nil {
		return err
	}
	defer ns.Close()
	if _, there := devices[v.InsideIndex]; there {
		return nil
	}
	return l.PlugInto(ns, v)
}

// Count adds the counters of interfaces to those of the container's others, as the
// host's end of a wire would count them.
func (n *Namespaces) Count(l *bridge.Links, container string, all map[string]bridge.Counters, of []bridge.Veth) error {
	devices, ns, err := n.look(l, container)
	if err != nil || ns == nil {
		return err
	}
	defer ns.Close()
	for _, v := range of {
		if c, ok := devices[v.InsideIndex]; ok {
			all[v.Inside] = c.Swapped()
		}
	}
	return nil
}

func (n *Namespaces) look(l *bridge.Links, container string) (devices map[uint32]bridge.Counters, ns *os.File, err error) {
	if ns, err = n.get(container); err != nil || ns == nil {
		return nil, nil, err
	}
	if devices, err = l.Inside(ns); err != nil {
		return nil, nil, errors.Join(err, ns.Close())
	}
	return devices, ns, nil
}

// Leave removes the interfaces of a container that has ended. The kernel does that by
// itself, but some time after the container's end: until then another device of
// the parent could not have the same addresses.
func (n *Namespaces) Leave(l *bridge.Links, container string, all []bridge.Veth) error {
	n.mu.Lock()
	ns := n.open[container]
	delete(n.open, container)
	n.mu.Unlock()
	if ns != nil {
		defer ns.Close()
	}
	var errs []error
	for _, v := range all {
		if ns != nil {
			errs = append(errs, l.RemoveInside(ns, v.InsideIndex))
			continue
		}
		v.Gateways = nil // it ended before its namespace was known
		if err := l.Try(v); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
