// Package relay copies what comes to ports of the host's [::1] to containers. It is for
// what the kernel cannot lead there: IPv6 has no route_localnet.
//
// Level: L2, a subroom of network.
// Owns: connections and sessions that are relayed.
// May import: the standard library.
// Must not know: who holds a port's socket, and which container it leads to.
//
// One goroutine waits for all sockets (epoll(7)), so that a port costs a file and
// no more; a connection has two, a session of UDP one. A port's end
// ends what is relayed, and joins it.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Key names a relayed port.
type Key struct {
	Protocol string // tcp or udp
	Host     netip.AddrPort
}

// Ways are relayed ports and where they lead, tried in that order.
type Ways map[Key][]netip.AddrPort

// Bounds of what is relayed at once. A connection costs six files: two sockets, and
// two pipes of splice(2).
const (
	maxAtPort = 256
	maxInAll  = 1024
)

// pause is how long nothing is accepted when the process has no more files.
const pause = 100 * time.Millisecond

// Table relays. It is safe for concurrent use.
type Table struct {
	log *slog.Logger

	mu     sync.Mutex
	ports  map[Key]*port   // guarded by mu
	bySock map[int32]*port // guarded by mu; by the socket's descriptor
	epoll  *os.File        // guarded by mu; nil until a port is added
	closed bool            // guarded by mu
	load   int             // guarded by mu; connections and sessions in all

	waiting sync.WaitGroup // the goroutine of epoll
	ctx     context.Context
	stop    context.CancelFunc
}

// port is one relayed port.
type port struct {
	table  *Table
	key    Key
	socket *os.File
	fd     int32 // socket's
	to     []netip.AddrPort
	ctx    context.Context
	cancel context.CancelFunc

	// busy is held while the socket is read, which is not after the port's end.
	busy sync.Mutex

	mu   sync.Mutex
	open map[closer]bool             // guarded by mu
	load int                         // guarded by mu; connections and sessions
	udp  map[netip.AddrPort]*session // guarded by mu; by client
	all  sync.WaitGroup
}

// closer is what a port's end closes.
type closer interface{ Close() error }

// New returns an empty table.
func New(ctx context.Context, log *slog.Logger) *Table {
	t := &Table{log: log, ports: map[Key]*port{}, bySock: map[int32]*port{}}
	t.ctx, t.stop = context.WithCancel(ctx)
	return t
}

// Start relays what comes to a socket, which stays the caller's and is closed after
// Stop. One of TCP listens, and none waits (O_NONBLOCK). What to names is tried in that order.
func (t *Table) Start(k Key, socket *os.File, to []netip.AddrPort) error {
	t.Stop(k)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return os.ErrClosed
	}
	if err := t.openEpoll(); err != nil {
		return err
	}
	p := &port{table: t, key: k, socket: socket, to: to, open: map[closer]bool{}, udp: map[netip.AddrPort]*session{}}
	p.ctx, p.cancel = context.WithCancel(t.ctx)
	err := onFD(socket, func(fd int) error {
		p.fd = int32(fd)
		return os.NewSyscallError("epoll_ctl", t.control(syscall.EPOLL_CTL_ADD, p.fd))
	})
	if err != nil {
		p.cancel()
		return fmt.Errorf("relay port %s/%s of [::1]: %w", k.Host, k.Protocol, err)
	}
	t.ports[k], t.bySock[p.fd] = p, p
	return nil
}

// Change makes ports lead other ways; what is the same in both goes on. socket gives the one of a
// port, or nil. A port that cannot be relayed is told to the log: it is reached by all other addresses.
func (t *Table) Change(from, to Ways, socket func(protocol string, host netip.AddrPort) (*os.File, error)) {
	for k, was := range from {
		if !slices.Equal(was, to[k]) {
			t.Stop(k)
		}
	}
	for k, is := range to {
		if slices.Equal(from[k], is) {
			continue
		}
		s, err := socket(k.Protocol, k.Host)
		if err == nil && s != nil {
			err = t.Start(k, s, is)
		}
		if err != nil {
			t.log.Warn("a published port is not reached by [::1]", "port", k.Host.String()+"/"+k.Protocol, "error", err)
		}
	}
}

func (t *Table) control(op int, fd int32) error {
	return onFD(t.epoll, func(e int) error {
		return syscall.EpollCtl(e, op, int(fd), &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: fd})
	})
}

// onFD calls f with a file's descriptor, which stays as it is.
func onFD(f *os.File, use func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = use(int(fd)) })
	return errors.Join(err, failed)
}

// openEpoll starts to wait. Call it with mu held.
func (t *Table) openEpoll() error {
	if t.epoll != nil {
		return nil
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // so that Go's runtime waits for it
		return errors.Join(os.NewSyscallError("fcntl", err), syscall.Close(fd))
	}
	t.epoll = os.NewFile(uintptr(fd), "epoll of relayed ports")
	epoll := t.epoll
	t.waiting.Go(func() { t.wait(epoll) })
	return nil
}

// Stop ends a port's relaying, and what is relayed at it.
func (t *Table) Stop(k Key) {
	t.mu.Lock()
	p := t.ports[k]
	if p != nil {
		delete(t.ports, k)
		delete(t.bySock, p.fd)
		_ = t.control(syscall.EPOLL_CTL_DEL, p.fd) // it is in there
	}
	t.mu.Unlock()
	if p != nil {
		p.end()
	}
}

func (p *port) end() {
	p.busy.Lock()
	p.cancel()
	p.busy.Unlock()
	p.mu.Lock()
	for c := range p.open {
		_ = c.Close() // it is at its end
	}
	p.mu.Unlock()
	p.all.Wait()
}

// Close ends everything.
func (t *Table) Close() error {
	t.stop()
	t.mu.Lock()
	t.closed = true
	ports, epoll := t.ports, t.epoll
	t.ports, t.bySock, t.epoll = nil, nil, nil
	t.mu.Unlock()
	var err error
	if epoll != nil {
		err = epoll.Close()
	}
	t.waiting.Wait()
	for _, p := range ports {
		p.end()
	}
	return err
}

// wait reads what comes, until the epoll is closed.
func (t *Table) wait(epoll *os.File) {
	raw, err := epoll.SyscallConn()
	if err != nil {
		t.log.Error("relay ports of [::1]", "error", err)
		return
	}
	events := make([]syscall.EpollEvent, 64)
	buf := make([]byte, maxDatagram)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil { // closed
			return
		}
		for _, e := range events[:n] {
			t.mu.Lock()
			p := t.bySock[e.Fd]
			t.mu.Unlock()
			if p == nil || p.read(buf) == nil {
				continue
			}
			select { // no files or no memory: what waits does so a little longer
			case <-time.After(pause):
			case <-t.ctx.Done():
				return
			}
		}
	}
}

// read takes what waits at a port. An error is one of the process, not of what came.
func (p *port) read(buf []byte) error {
	p.busy.Lock()
	defer p.busy.Unlock()
	if p.ctx.Err() != nil {
		return nil
	}
	if p.key.Protocol == "tcp" {
		return p.accept()
	}
	p.receive(buf)
	return nil
}

// enter counts one more connection or session, and notes what ends it; false: there
// are too many, or the port is at its end.
func (p *port) enter(c closer) bool {
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil || p.load >= maxAtPort || t.load >= maxInAll {
		return false
	}
	t.load++
	p.load++
	p.open[c] = true
	return true
}

func (p *port) leave(c closer) {
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	t.load--
	p.load--
	delete(p.open, c)
}
