package portmap

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// tries bounds how often a free port is asked for until one is free in both families.
const tries = 32

// Assign tells for each want which of a container's ports it has led to: all of one
// number. The narrowest want is asked first; one without an address fits ports of any.
func Assign(wants []Want, have []Port) [][]Port {
	type inside struct {
		proto network.IPProtocol
		port  uint16
	}
	left := map[inside][]Port{}
	for _, p := range have {
		k := inside{p.Protocol, p.Inside}
		left[k] = append(left[k], p)
	}
	order := make([]int, len(wants))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(wants[a].width(), wants[b].width()) })
	given := make([][]Port, len(wants))
	for _, i := range order {
		w := wants[i]
		k := inside{w.Protocol, w.Inside}
		first := slices.IndexFunc(left[k], w.fits)
		if first < 0 {
			continue
		}
		number := left[k][first].Host.Port()
		left[k] = slices.DeleteFunc(left[k], func(p Port) bool {
			mine := w.fits(p) && p.Host.Port() == number
			if mine {
				given[i] = append(given[i], p)
			}
			return mine
		})
	}
	return given
}

// width is how many ports of the host a want can get; more at all addresses than at one.
func (w Want) width() int {
	n := 1 << 16
	if w.First != 0 {
		n = int(w.Last) - int(w.First) + 1
	}
	if !w.HostIP.IsValid() {
		n += 1 << 17
	}
	return n
}

// fits says whether a port may have been reserved for a want.
func (w Want) fits(p Port) bool {
	n := p.Host.Port()
	if w.First != 0 && (n < w.First || n > w.Last) {
		return false
	}
	return !w.HostIP.IsValid() || p.Host.Addr() == w.HostIP
}

// Minus are the ports of a that are not in b, by protocol and address of the host.
func Minus(a, b []Port) (left []Port) {
	in := make(map[key]bool, len(b))
	for _, p := range b {
		in[p.key()] = true
	}
	for _, p := range a {
		if !in[p.key()] {
			left = append(left, p)
		}
	}
	return left
}

// Agree holds what wants ask for and the ports that their owner has do not give,
// all or none, and returns the ports of the wants. Those that are wanted no more are held on,
// until the caller releases them ([Minus]), so that nothing is lost if something else fails. None of gone,
// a part of have, is given to a want, unless that names it.
func (t *Table) Agree(owner string, have, gone []Port, wants []Want, families []netip.Addr) (_ []Port, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &reservation{Table: t, owner: owner, families: families}
	defer func() {
		if err != nil {
			r.giveUp(0)
		}
	}()
	kept := r.keep(have, gone, wants)
	var all []Port
	for i, w := range wants {
		got, err := r.fulfil(w, kept[i])
		if err != nil {
			return nil, err
		}
		all = append(all, got...)
	}
	return all, nil
}

// Follow is Agree for a container whose networks have changed: ports that are wanted no
// more, or have no address to lead to, are released first, and wants that cannot be
// fulfilled are left out. The error says which and why.
func (t *Table) Follow(owner string, have []Port, wants []Want, families []netip.Addr) ([]Port, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &reservation{Table: t, owner: owner, families: families}
	kept := r.keep(have, nil, wants)
	for k := range r.spare {
		t.drop(k)
	}
	clear(r.spare)
	var all []Port
	var errs []error
	for i, w := range wants {
		got, err := r.fulfil(w, kept[i])
		errs, all = append(errs, err), append(all, got...)
	}
	return all, errors.Join(errs...)
}

// reservation holds ports for one container. Its table is locked.
type reservation struct {
	*Table
	owner    string
	families []netip.Addr
	spare    map[key]bool // the owner has them, and needs them no more
	fresh    []key        // held by this reservation
}

// addresses are those of the host at which a want is to be published.
func (r *reservation) addresses(w Want) []netip.Addr {
	if w.HostIP.IsValid() {
		return []netip.Addr{w.HostIP}
	}
	return r.families
}

// keep tells for each want what it has; all else is spare.
func (r *reservation) keep(have, gone []Port, wants []Want) [][]Port {
	given := Assign(wants, Minus(have, gone))
	var used []Port
	for i, w := range wants {
		ips := r.addresses(w)
		given[i] = slices.DeleteFunc(given[i], func(p Port) bool { return !slices.Contains(ips, p.Host.Addr()) || r.impossible(w) != nil })
		used = append(used, given[i]...)
	}
	r.spare = map[key]bool{}
	for _, p := range Minus(have, used) {
		r.spare[p.key()] = true
		if r.loopbackOf(p) != nil {
			r.spare[p.loopback()] = true
		}
	}
	if sameFamily(netip.IPv6Unspecified(), r.families) { // the socket of [::1] would be in the way of that of [::]
		for _, p := range used {
			if r.loopbackOf(p) != nil {
				r.spare[p.loopback()] = true
			}
		}
	}
	return given
}

// impossible says why nothing can lead from a want's address to the container, nil if it can.
func (r *reservation) impossible(w Want) error {
	if !w.HostIP.IsValid() || sameFamily(w.HostIP, r.families) || r.here && w.HostIP == netip.IPv6Loopback() && w.Protocol != network.SCTP {
		return nil
	}
	return invalid("publish port %d/%s at %s: the container's network has no %s", w.Inside, w.Protocol, w.HostIP, family(w.HostIP))
}

// fulfil holds what a want lacks beside the ports that it has.
func (r *reservation) fulfil(w Want, have []Port) (got []Port, err error) {
	if err := r.impossible(w); err != nil {
		return nil, err
	}
	if len(have) == 0 {
		got, err = r.take(w, r.addresses(w))
	} else {
		got, err = r.complete(w, have)
	}
	var used *inUseError
	if errors.As(err, &used) { // it takes a while to find out: not for each port of a range
		used.explain()
	}
	if err != nil {
		err = fmt.Errorf("publish port %d/%s: %w", w.Inside, w.Protocol, err)
	}
	everywhere := r.here && !w.HostIP.IsValid() && w.Protocol != network.SCTP && !sameFamily(netip.IPv6Unspecified(), r.families)
	for i := range got {
		got[i].Loopback = everywhere && r.holdLoopback(got[i])
	}
	return got, err
}

// complete holds a want's port at the addresses at which it is not held yet.
func (r *reservation) complete(w Want, have []Port) (got []Port, err error) {
	number := have[0].Host.Port()
	for _, ip := range r.addresses(w) {
		at := netip.AddrPortFrom(ip, number)
		p := Port{Protocol: w.Protocol, Inside: w.Inside, Host: at}
		if i := slices.IndexFunc(have, func(p Port) bool { return p.Host == at }); i >= 0 {
			p.Arrives = have[i].Arrives
		} else {
			held, e := r.hold(w.Protocol, at)
			if e != nil {
				err = e
				continue
			}
			p.Arrives = held.Arrives
		}
		got = append(got, p)
	}
	return got, err
}

// holdLoopback holds the port of [::1] for a port of a container without IPv6. If somebody
// else has it, or the host has no IPv6, it is theirs: nobody has asked for it by name.
func (r *reservation) holdLoopback(p Port) bool {
	if r.loopbackOf(p) != nil {
		return true
	}
	k := p.loopback()
	if _, err := r.hold(k.proto, k.host); err != nil {
		return false
	}
	r.holds[k].of = p.key()
	return true
}

// take holds one port number at all addresses.
func (r *reservation) take(w Want, ips []netip.Addr) ([]Port, error) {
	first, last := int(w.First), int(w.Last)
	if first == 0 {
		return r.takeAny(w, ips)
	}
	for n := first; n <= last; n++ {
		got, err := r.takeAt(w, ips, uint16(n))
		if errdefs.IsConflict(err) && first != last {
			continue
		}
		return got, err
	}
	return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("all ports %d-%d of the host are in use: choose others", first, last))
}

func (r *reservation) takeAny(w Want, ips []netip.Addr) ([]Port, error) {
	for range tries {
		got, err := r.takeAt(w, ips, 0)
		if err == nil || !errdefs.IsConflict(err) {
			return got, err
		}
	}
	return nil, errdefs.ErrConflict.WithMessage("no port of the host is free")
}

// takeAt holds port n at all addresses; 0 lets the kernel choose.
func (r *reservation) takeAt(w Want, ips []netip.Addr, n uint16) (got []Port, err error) {
	before := len(r.fresh)
	for _, ip := range ips {
		held, err := r.hold(w.Protocol, netip.AddrPortFrom(ip, n))
		if err != nil {
			r.giveUp(before)
			return nil, err
		}
		n = held.Port
		got = append(got, Port{Protocol: w.Protocol, Inside: w.Inside, Host: netip.AddrPortFrom(ip, n), Arrives: held.Arrives})
	}
	return got, nil
}

// giveUp lets go what was held after the first n.
func (r *reservation) giveUp(n int) {
	for _, k := range r.fresh[n:] {
		r.drop(k)
	}
	r.fresh = r.fresh[:n]
}

// hold binds a socket, or takes over one that the owner has to spare.
func (r *reservation) hold(proto network.IPProtocol, at netip.AddrPort) (Held, error) {
	k := key{proto, at}
	if r.spare[k] && r.holds[k] != nil && r.holds[k].of == (key{}) {
		return Held{Port: at.Port(), Arrives: r.holds[k].arrives}, nil
	}
	for other, h := range r.holds {
		if !r.busy[busyKey{proto, at.Port()}] {
			break // nobody has it at any address: the usual case, and there may be thousands of others
		}
		if other.proto == proto && at.Port() != 0 && other.host.Port() == at.Port() && overlap(other.host.Addr(), at.Addr()) {
			return Held{}, errdefs.ErrConflict.WithMessage(fmt.Sprintf("port %s/%s of the host is published by container %s: choose another", at, proto, h.owner))
		}
	}
	held, err := r.bind(proto, at)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return held, &inUseError{at: at, proto: proto, err: err}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return held, invalid("the host has no address %s", at.Addr())
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return held, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"port %s/%s of the host is not for ordinary users: choose one from 1024 on, or let them have it, as root: \"sysctl net.ipv4.ip_unprivileged_port_start=%d\"", at, proto, at.Port()))
	case r.here && errors.Is(err, syscall.EPROTONOSUPPORT) && proto == network.SCTP:
		return held, errdefs.ErrNotImplemented.WithMessage("the kernel has no SCTP, neither has the container: load its module sctp")
	case err != nil:
		return held, fmt.Errorf("reserve port %s/%s of the host: %w", at, proto, err)
	}
	k.host = netip.AddrPortFrom(at.Addr(), held.Port)
	r.holds[k] = &hold{socket: held.Closer, owner: r.owner, arrives: held.Arrives}
	r.busy[busyKey{proto, held.Port}] = true
	r.fresh = append(r.fresh, k)
	return held, nil
}

// inUseError says that a program has a port. Its class is Conflict.
type inUseError struct {
	proto network.IPProtocol
	at    netip.AddrPort
	err   error
	whom  string
}

func (e *inUseError) Error() string {
	return fmt.Sprintf("port %s/%s of the host is in use%s: choose another", e.at, e.proto, e.whom)
}

// Conflict makes it of that class (containerd/errdefs).
func (e *inUseError) Conflict() {}

// explain finds out which program has the port.
func (e *inUseError) explain() {
	var taker Taker
	if errors.As(e.err, &taker) {
		e.whom = taker.ByWhom()
	}
}
