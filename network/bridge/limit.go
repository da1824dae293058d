package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"berth/ociruntime/plan/netdevice"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// ShaperPrefix is what the names of the devices begin with that hold back what
// containers send; the rest is as in the name of the host's end (EndPrefix).
const ShaperPrefix = "vi"

// Limited is a host's end with limits.
type Limited struct {
	Host  string
	Limit netdevice.Limit
}

// Repair makes limits again that somebody has changed or removed. An end over which
// nothing passes is left alone: its keeper may be about to make them.
func (l *Links) Repair(ends []Limited) (repaired []string, err error) {
	if len(ends) == 0 {
		return nil, nil
	}
	all, err := whole(func() ([]netlink.Qdisc, error) { return l.h.QdiscList(nil) })
	if err != nil {
		return nil, fmt.Errorf("list queueing disciplines: %w", err)
	}
	var errs []error
	for _, e := range ends {
		link, err := find(l.h, e.Host)
		if err != nil || link == nil || link.Attrs().Flags&net.FlagRunning == 0 {
			errs = append(errs, err)
			continue
		}
		ok, err := l.limited(link, e.Limit, all)
		if err == nil && !ok {
			repaired = append(repaired, e.Host)
			err = l.limitAgain(link, e.Limit, all)
		}
		errs = append(errs, err)
	}
	return repaired, errors.Join(errs...)
}

// limited says whether an end has its limits.
func (l *Links) limited(link netlink.Link, want netdevice.Limit, all []netlink.Qdisc) (bool, error) {
	index := link.Attrs().Index
	if want.In > 0 && !hasBucket(all, index, want.In) {
		return false, nil
	}
	if want.Out == 0 {
		return true, nil
	}
	shaper, err := find(l.h, want.Shaper)
	if err != nil || shaper == nil {
		return false, err
	}
	to := shaper.Attrs().Index
	if !hasBucket(all, to, want.Out) || shaper.Attrs().Flags&net.FlagUp == 0 || ingressOf(all, index) == nil {
		return false, nil
	}
	filters, err := whole(func() ([]netlink.Filter, error) { return l.h.FilterList(link, ingressHandle) })
	if err != nil {
		return false, fmt.Errorf("list filters of %s: %w", link.Attrs().Name, err)
	}
	for _, f := range filters {
		if u, ok := f.(*netlink.U32); ok && u.RedirIndex == to {
			return true, nil
		}
	}
	return false, nil
}

// ingressHandle is that of every device's ingress discipline.
const ingressHandle = 0xffff0000

func hasBucket(all []netlink.Qdisc, index int, bits uint64) bool {
	for _, q := range all {
		b, ok := q.(*netlink.Tbf)
		if ok && b.LinkIndex == index && b.Parent == netlink.HANDLE_ROOT && b.Rate == bits/8 {
			return true
		}
	}
	return false
}

func ingressOf(all []netlink.Qdisc, index int) netlink.Qdisc {
	for _, q := range all {
		if _, ok := q.(*netlink.Ingress); ok && q.Attrs().LinkIndex == index {
			return q
		}
	}
	return nil
}

func (l *Links) limitAgain(link netlink.Link, want netdevice.Limit, all []netlink.Qdisc) error {
	if q := ingressOf(all, link.Attrs().Index); q != nil && want.Out > 0 { // and its filters
		if err := l.h.QdiscDel(q); err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("remove the filters of %s: %w", link.Attrs().Name, err)
		}
	}
	if err := l.RemoveShaper(want.Shaper); err != nil {
		return err
	}
	return l.makeLimit(link, want)
}

// makeLimit limits an end that has no limits.
func (l *Links) makeLimit(link netlink.Link, limit netdevice.Limit) error {
	a := link.Attrs()
	for _, m := range limit.Messages(a.Name, uint32(a.Index), uint32(a.MTU)) { //nolint:gosec // the kernel's are positive
		if err := l.within(func() error { return send(m.Data) }); err != nil {
			return fmt.Errorf("%s: %w", m.Does, err)
		}
	}
	return nil
}

// send hands a prepared message to the kernel and reads the answer, in the network
// namespace of the thread.
func send(m []byte) error {
	kind, flags := binary.LittleEndian.Uint16(m[4:]), binary.LittleEndian.Uint16(m[6:])
	req := nl.NewNetlinkRequest(int(kind), int(flags))
	req.AddRawData(m[syscall.NLMSG_HDRLEN:])
	_, err := req.Execute(syscall.NETLINK_ROUTE, 0)
	return err
}

// RemoveShaper removes the device of a limit; none, or one that is gone, is no error.
func (l *Links) RemoveShaper(name string) error {
	if name == "" {
		return nil
	}
	link, err := find(l.h, name)
	if err != nil || link == nil {
		return err
	}
	if link.Type() != "ifb" {
		return conflict("network device %s is a %s that berth did not make: it stays", name, link.Type())
	}
	return remove(l.h, link)
}

// SweepShapers removes the devices of limits whose ends are gone: of containers that
// have ended while no berthd ran. An end is there before its shaper, whoever makes them.
func (l *Links) SweepShapers() error {
	links, err := l.list()
	if err != nil {
		return err
	}
	ends := map[string]bool{}
	for _, link := range links {
		ends[link.Attrs().Name] = true
	}
	var errs []error
	for _, link := range links {
		id, ours := strings.CutPrefix(link.Attrs().Name, ShaperPrefix)
		if ours && len(id) == endIDSize && link.Type() == "ifb" && !ends[EndPrefix+id] {
			errs = append(errs, remove(l.h, link))
		}
	}
	return errors.Join(errs...)
}

// endIDSize is how long the names of ends are behind their prefix.
const endIDSize = 10
