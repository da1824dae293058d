package dns

import (
	"net/netip"
	"sync"
)

// limiter counts what is under way, in all and for each client, so that one
// client cannot take everything. It also joins it.
type limiter struct {
	max, perClient int
	wg             sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	total    int
	byClient map[netip.Addr]int
}

func newLimiter(limit, perClient int) *limiter {
	return &limiter{max: limit, perClient: perClient, byClient: map[netip.Addr]int{}}
}

// enter counts one more for client; false if it would be too much. Each enter
// that was allowed has a leave.
func (l *limiter) enter(client netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.total >= l.max || l.byClient[client] >= l.perClient {
		return false
	}
	l.total++
	l.byClient[client]++
	l.wg.Add(1)
	return true
}

func (l *limiter) leave(client netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.byClient[client]--; l.byClient[client] == 0 {
		delete(l.byClient, client)
	}
	l.wg.Done()
}

// close lets nobody in any more and waits for those inside.
func (l *limiter) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wg.Wait()
}
