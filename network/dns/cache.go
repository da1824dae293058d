package dns

import (
	"container/list"
	"sync"
	"time"
)

// Limits of the cache, in bytes and in entries.
const (
	maxCacheBytes   = 8 << 20
	maxCacheEntries = 8192
	entryOverhead   = 256 // what an entry costs besides its message and key
)

// cache keeps answers until they are too old; when it is full, what was not
// asked for longest goes first.
type cache struct {
	mu      sync.Mutex
	bytes   int
	entries map[string]*list.Element // of *entry
	recent  *list.List               // the front was used last
}

type entry struct {
	key    string
	answer *answer
}

func newCache() *cache {
	return &cache{entries: map[string]*list.Element{}, recent: list.New()}
}

func (e *entry) size() int {
	return len(e.key) + len(e.answer.wire) + 8*len(e.answer.ttls) + entryOverhead
}

// get finds an answer that is not too old; nil if there is none.
func (c *cache) get(key string, now time.Time) *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.entries[key]
	if !ok {
		return nil
	}
	a := el.Value.(*entry).answer
	if now.Sub(a.at) >= a.life {
		c.removeLocked(el)
		return nil
	}
	c.recent.MoveToFront(el)
	return a
}

// put keeps an answer, if it may be kept.
func (c *cache) put(key string, a *answer) {
	e := &entry{key, a}
	if a.life <= 0 || e.size() > maxCacheBytes/64 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[key]; ok {
		c.removeLocked(old)
	}
	c.entries[key] = c.recent.PushFront(e)
	c.bytes += e.size()
	for c.bytes > maxCacheBytes || len(c.entries) > maxCacheEntries {
		c.removeLocked(c.recent.Back())
	}
}

func (c *cache) removeLocked(el *list.Element) {
	e := c.recent.Remove(el).(*entry)
	delete(c.entries, e.key)
	c.bytes -= e.size()
}
