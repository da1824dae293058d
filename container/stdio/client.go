package stdio

import (
	"context"
	"io"
	"sync"
)

// queueLimit bounds what waits for one client.
const queueLimit = 1 << 20

// maxChunk bounds what is sent to a client at once.
const maxChunk = 64 << 10

type chunk struct {
	stream stream
	data   []byte
}

// Client is one attached client.
type Client struct {
	hub            *Hub
	stdout, stderr bool

	mu      sync.Mutex
	more    *sync.Cond // of mu: the queue or a flag has changed
	queue   []chunk    // guarded by mu
	size    int        // guarded by mu; bytes in queue
	unbound bool       // guarded by mu: push never waits
	ended   bool       // guarded by mu: nothing follows the queue
	dropped bool       // guarded by mu: nobody reads the queue
}

// push queues a copy of ch, waiting for room. What waits of one stream is joined:
// a process that writes byte by byte must not cost a write to the client each.
func (c *Client) push(ch chunk) {
	if ch.stream == streamOut && !c.stdout || ch.stream == streamErr && !c.stderr {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.size >= queueLimit && !c.unbound && !c.dropped {
		c.more.Wait()
	}
	if c.dropped {
		return
	}
	c.size += len(ch.data)
	if n := len(c.queue); n > 0 && c.queue[n-1].stream == ch.stream && len(c.queue[n-1].data)+len(ch.data) <= maxChunk {
		c.queue[n-1].data = append(c.queue[n-1].data, ch.data...)
	} else {
		c.queue = append(c.queue, chunk{ch.stream, append([]byte(nil), ch.data...)})
	}
	c.more.Broadcast()
}

// pop waits for a chunk; false when there is no more.
func (c *Client) pop() (chunk, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.ended && !c.dropped {
		c.more.Wait()
	}
	if len(c.queue) == 0 || c.dropped {
		return chunk{}, false
	}
	ch := c.queue[0]
	c.queue[0] = chunk{}
	c.queue = c.queue[1:]
	c.size -= len(ch.data)
	c.more.Broadcast()
	return ch, true
}

func (c *Client) unbind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unbound = true
	c.more.Broadcast()
}

func (c *Client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.more.Broadcast()
}

func (c *Client) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped, c.queue, c.size = true, nil, 0
	c.more.Broadcast()
}

// Peer is the client's side.
type Peer struct {
	// Stdin, if not nil, is copied to the process. Reads must end after
	// Unblock was called; it is called when nothing more is wanted.
	Stdin   io.Reader
	Unblock func()
	// Stdout and Stderr take the output the client attached for. Writes must
	// fail once ctx of Serve has ended.
	Stdout, Stderr io.Writer
}

// Serve moves data until the run ends, the peer's writers fail, or ctx ends
// (the peer has gone). It joins everything it started.
func (c *Client) Serve(ctx context.Context, p Peer) {
	defer c.hub.detach(c)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, c.drop)
	defer stop()
	var input sync.WaitGroup
	if p.Stdin != nil {
		input.Go(func() { c.copyStdin(ctx, p.Stdin) })
	}
	for {
		ch, ok := c.pop()
		if !ok {
			break
		}
		to := p.Stdout
		if ch.stream == streamErr {
			to = p.Stderr
		}
		if _, err := to.Write(ch.data); err != nil {
			break
		}
	}
	cancel()
	if p.Unblock != nil {
		p.Unblock()
	}
	input.Wait()
}

// copyStdin copies until the peer has no more or the process takes no more.
func (c *Client) copyStdin(ctx context.Context, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if e := c.hub.stdin.write(ctx, buf[:n]); e != nil {
				return
			}
		}
		if err != nil {
			break
		}
	}
	if !c.hub.opts.StdinOnce {
		return
	}
	// The client may have ended its input before the process has started.
	if _, err := c.hub.stdin.file(ctx); err == nil && !c.hub.isTerminal() {
		c.hub.stdin.close()
	}
}

// isTerminal: a terminal's input cannot be closed apart from its output.
func (h *Hub) isTerminal() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.files.Console != nil
}

// Close gives up a client that is not served; it may be repeated.
func (c *Client) Close() { c.hub.detach(c) }
