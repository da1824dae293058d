// Package events is the bus that tells clients what happens to containers and
// images.
//
// Level: L2.
// Owns: the last events and the list of those who listen.
// May import: the standard library.
// Must not know: who makes events or why; the HTTP API.
package events

import (
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"
)

const (
	// history is how many past events a new listener can ask for.
	history = 256
	// backlog is how many events may wait for one listener before it is dropped.
	backlog = 256
)

// Bus keeps the last events and passes new ones on. It is safe for concurrent
// use. Publish never waits for a listener.
type Bus struct {
	mu        sync.Mutex
	past      []events.Message                 // guarded by mu; oldest first, at most history
	listeners map[chan events.Message]struct{} // guarded by mu
}

// New returns an empty bus.
func New() *Bus { return &Bus{listeners: map[chan events.Message]struct{}{}} }

// Publish stamps m with the time and passes it on. A listener that is backlog
// events behind is dropped: its channel closes.
func (b *Bus) Publish(m events.Message) {
	now := time.Now()
	m.Scope, m.Time, m.TimeNano = "local", now.Unix(), now.UnixNano()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.past) == history {
		b.past = append(b.past[:0], b.past[1:]...)
	}
	b.past = append(b.past, m)
	for c := range b.listeners {
		select {
		case c <- m:
		default:
			delete(b.listeners, c)
			close(c)
		}
	}
}

// Listen returns the remembered events not older than since (none if since is
// zero) and a channel of those that follow, without a gap. Call stop once.
func (b *Bus) Listen(since time.Time) (past []events.Message, next <-chan events.Message, stop func()) {
	c := make(chan events.Message, backlog)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.past {
		if !since.IsZero() && m.TimeNano >= since.UnixNano() {
			past = append(past, m)
		}
	}
	b.listeners[c] = struct{}{}
	return past, c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, ok := b.listeners[c]; ok {
			delete(b.listeners, c)
			close(c)
		}
	}
}

// Listeners counts those who listen.
func (b *Bus) Listeners() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.listeners)
}
