package dns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// upstream asks servers elsewhere. The durations are fixed but for tests.
type upstream struct {
	total      time.Duration // for a question in all: less than the 5 s that clients wait
	hedge      time.Duration // a server silent for so long has the next one asked too
	resend     time.Duration // until the first is asked again; doubled each time
	tcpTimeout time.Duration
	avoid      time.Duration // for so long a dead server is asked last

	mu      sync.Mutex
	sockets map[netip.AddrPort]struct{} // the local ends of those we ask with
	misses  map[netip.AddrPort]*missed  // servers that did not answer
}

// missed is how often in a row a server did not answer, and when last.
type missed struct {
	times int
	last  time.Time
}

// maxMisses bounds how many servers are remembered. Containers name their own.
const maxMisses = 256

func newUpstream() *upstream {
	return &upstream{
		total: 4500 * time.Millisecond, hedge: time.Second, resend: 1200 * time.Millisecond,
		tcpTimeout: 2500 * time.Millisecond, avoid: 15 * time.Second,
		sockets: map[netip.AddrPort]struct{}{}, misses: map[netip.AddrPort]*missed{},
	}
}

// asking notes that we ask from addr, or do no more.
func (u *upstream) asking(addr net.Addr, yes bool) {
	a, ok := addrPort(addr)
	if !ok {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if yes {
		u.sockets[a] = struct{}{}
	} else {
		delete(u.sockets, a)
	}
}

// isOurs says whether a question comes from one of our own sockets: then a server
// that we ask is, by some way, ourselves.
func (u *upstream) isOurs(from netip.AddrPort) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ours := u.sockets[from]
	return ours
}

// said is what one server answered, or why it did not.
type said struct {
	server netip.AddrPort
	m      *dns.Msg
	err    error
}

// race asks the servers in their order, each as soon as the one before it fails or
// is silent for a moment. The first answer wins, and those still asked are left
// alone. The order counts: often the first server knows names that the others
// deny. If no server has an answer, race returns the first excuse (SERVFAIL,
// REFUSED), or an error if there was not even that.
func (u *upstream) race(ctx context.Context, servers []netip.AddrPort, a *ask) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, u.total)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	results := make(chan said, len(servers))
	started := map[netip.AddrPort]time.Time{} // those without a result
	timer := time.NewTimer(u.hedge)
	defer timer.Stop()
	next := 0
	start := func() {
		server := servers[next]
		next++
		started[server] = time.Now()
		timer.Reset(u.hedge)
		wg.Go(func() {
			m, err := u.exchange(ctx, server, a)
			results <- said{server, m, err}
		})
	}
	start()
	var excuse *dns.Msg
	var errs []error
	for {
		select {
		case r := <-results:
			u.learn(r, started)
			if r.err == nil && good(r.m) {
				return r.m, nil
			}
			if r.err != nil {
				errs = append(errs, r.err)
			} else if excuse == nil {
				excuse = r.m
			}
			switch {
			case next < len(servers) && ctx.Err() == nil:
				start()
			case len(started) > 0: // the others may have more to say
			case excuse != nil:
				return excuse, nil
			default:
				return nil, fmt.Errorf("ask for %s: %w", a.name, errors.Join(errs...))
			}
		case <-timer.C:
			if next < len(servers) {
				start()
			}
		}
	}
}

// learn remembers which servers answer. started are those asked, and r's is taken
// out. Who was overtaken by a later one after a long silence has missed, too.
func (u *upstream) learn(r said, started map[netip.AddrPort]time.Time) {
	now := time.Now()
	delete(started, r.server)
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case r.err == nil:
		delete(u.misses, r.server)
	case !errors.Is(r.err, context.Canceled):
		u.missLocked(r.server, now)
	}
	if r.err != nil || !good(r.m) {
		return
	}
	for server, since := range started {
		if now.Sub(since) >= u.hedge {
			u.missLocked(server, now)
		}
	}
}

func (u *upstream) missLocked(server netip.AddrPort, now time.Time) {
	m := u.misses[server]
	if m == nil {
		if len(u.misses) >= maxMisses {
			clear(u.misses) // they are only hints
		}
		m = &missed{}
		u.misses[server] = m
	}
	m.times++
	m.last = now
}

// order puts servers that missed twice in a row and lately behind the others.
// Once is not enough: a slow name is not the server's fault. Each is there once.
func (u *upstream) order(servers []netip.AddrPort, rotate bool) []netip.AddrPort {
	sorted := make([]netip.AddrPort, 0, len(servers))
	for _, s := range servers {
		if !slices.Contains(sorted, s) {
			sorted = append(sorted, s)
		}
	}
	if rotate {
		n := rand.IntN(len(sorted))
		sorted = append(sorted[n:], sorted[:n]...)
	}
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	dead := func(s netip.AddrPort) int {
		if m := u.misses[s]; m != nil && m.times >= 2 && now.Sub(m.last) < u.avoid {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(sorted, func(a, b netip.AddrPort) int { return dead(a) - dead(b) })
	return sorted
}

// addrPort is the address of a UDP or TCP socket, an IPv4 one as such.
func addrPort(a net.Addr) (netip.AddrPort, bool) {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	default:
		return ap, false
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
}
