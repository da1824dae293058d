package bridge

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// EndPrefix is what the names of the host's ends of containers' veth pairs begin with.
const EndPrefix = "vb"

const (
	minIndex = 1<<20 + 1 // far above those the kernel gives
	maxIndex = 1 << 30   // far below those that an end inside may be given by it
)

// NextIndex returns an interface index that no device of the namespace has and
// that was not given out before. A device can be made with it, and named by it
// meanwhile, without a look at the kernel's answer.
func (l *Links) NextIndex() (uint32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lastIndex == 0 { // anywhere, so that another berthd is elsewhere
		l.lastIndex = minIndex + rand.Uint32N(maxIndex-minIndex)
	}
	for range 1 << 16 {
		if l.lastIndex++; l.lastIndex > maxIndex {
			l.lastIndex = minIndex
		}
		_, err := l.h.LinkByIndex(int(l.lastIndex))
		if gone(err) {
			return l.lastIndex, nil
		}
		if err != nil {
			return 0, fmt.Errorf("look up network device %d: %w", l.lastIndex, err)
		}
	}
	return 0, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("no interface index is free below %d: remove network devices", l.lastIndex))
}

// Isolate sets port isolation of a host's end that is a port already.
func (l *Links) Isolate(host string) error {
	link, err := l.h.LinkByName(host)
	if err == nil {
		err = l.h.LinkSetIsolated(link, true)
	}
	if err != nil {
		return fmt.Errorf("isolate port %s: %w", host, err)
	}
	return nil
}

// Ends returns the names of the host's ends of our veth pairs.
func (l *Links) Ends() ([]string, error) {
	links, err := l.list()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, link := range links {
		name := link.Attrs().Name
		if _, veth := link.(*netlink.Veth); veth && strings.HasPrefix(name, EndPrefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

// RemoveLink deletes a host's end, and with it the one inside. One that does not
// exist is no error, a device that is no veth class Conflict.
func (l *Links) RemoveLink(name string) error {
	link, err := find(l.h, name)
	if err != nil || link == nil {
		return err
	}
	if _, veth := link.(*netlink.Veth); !veth {
		return conflict("network device %s is a %s that berth did not make: it stays", name, link.Type())
	}
	return remove(l.h, link)
}

// Forsake notes a host's end whose container has ended. The kernel removes it, but not while a
// socket of the container's is left, and one of TCP whose other side is silent stays for minutes: its
// namespace still answers to the container's addresses. Whoever gets one of them
// asks for it with Reclaim; Sweep does so for all.
func (l *Links) Forsake(host string, addresses []netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range addresses {
		l.forsaken[a] = host
	}
}

// Reclaim removes the ends that have had one of the addresses and are still there.
func (l *Links) Reclaim(addresses []netip.Prefix) error {
	l.mu.Lock()
	var ends []string
	for _, a := range addresses {
		if host, ok := l.forsaken[a]; ok {
			ends = append(ends, host)
			delete(l.forsaken, a)
		}
	}
	l.mu.Unlock()
	var errs []error
	for _, host := range ends {
		errs = append(errs, l.RemoveLink(host))
	}
	return errors.Join(errs...)
}

// Sweep is Reclaim for all addresses.
func (l *Links) Sweep() error {
	l.mu.Lock()
	all := slices.Collect(maps.Keys(l.forsaken))
	l.mu.Unlock()
	return l.Reclaim(all)
}

// Counters is what passed a device, as the device sees it: a host's end receives
// what its container sends.
type Counters struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// dumpFrom is how many devices are asked for in one dump instead of one by one.
const dumpFrom = 16

// Counters returns the counters of devices; those that do not exist are left out.
func (l *Links) Counters(names []string) (map[string]Counters, error) {
	all := make(map[string]Counters, len(names))
	if len(names) < dumpFrom {
		for _, name := range names {
			link, err := find(l.h, name)
			if err != nil {
				return nil, err
			}
			if link != nil {
				all[name] = countersOf(link)
			}
		}
		return all, nil
	}
	links, err := l.list()
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	for _, link := range links {
		if name := link.Attrs().Name; wanted[name] {
			all[name] = countersOf(link)
		}
	}
	return all, nil
}

func countersOf(link netlink.Link) Counters {
	s := link.Attrs().Statistics
	if s == nil {
		return Counters{}
	}
	return Counters{
		s.RxBytes, s.RxPackets, s.RxErrors, s.RxDropped,
		s.TxBytes, s.TxPackets, s.TxErrors, s.TxDropped,
	}
}
