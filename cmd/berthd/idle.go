package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// idleWatch finds out when a daemon that was started on demand is not needed:
// nobody is connected and nothing runs, for a while.
type idleWatch struct {
	busy  func() bool
	limit time.Duration

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu; hijacked ones are counted by busy containers
	since time.Time         // guarded by mu; when it was last needed
}

func newIdleWatch(busy func() bool, limit time.Duration) *idleWatch {
	return &idleWatch{busy: busy, limit: limit, conns: map[net.Conn]bool{}, since: time.Now()}
}

// connState is the HTTP server's hook.
func (w *idleWatch) connState(c net.Conn, s http.ConnState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = time.Now()
	switch s {
	case http.StateNew:
		w.conns[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(w.conns, c)
	}
}

// idle says whether nobody has needed the daemon for the limit.
func (w *idleWatch) idle(now time.Time) bool {
	busy := w.busy()
	w.mu.Lock()
	defer w.mu.Unlock()
	if busy || len(w.conns) > 0 {
		w.since = now
	}
	return now.Sub(w.since) >= w.limit
}

// run returns a channel that closes when the daemon is idle. Its goroutine ends
// then or with ctx.
func (w *idleWatch) run(ctx context.Context) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(max(w.limit/10, 10*time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				if w.idle(now) {
					close(ended)
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ended
}
