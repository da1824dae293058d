package stdio

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Files are the daemon's ends. With a terminal only Console is set. The hub
// closes them.
type Files struct {
	Console               *os.File
	Stdin, Stdout, Stderr *os.File
}

// Sink takes one stream of a process beside the clients: the log.
type Sink interface {
	io.Writer
	// Flush is called when the stream has ended.
	Flush() error
}

// Options of a hub.
type Options struct {
	// Stdout and Stderr take all output, if not nil. A terminal's is stdout.
	Stdout, Stderr Sink
	// SinkFailed is told, at most once per stream and run, that a sink failed. The
	// clients still get the output.
	SinkFailed func(error)
	// StdinOnce closes the process's standard input when the first client
	// that was attached to it has no more.
	StdinOnce bool
}

// Hub is the meeting place of one container's, or one exec's, streams.
type Hub struct {
	opts  Options
	pumps sync.WaitGroup
	stdin stdin

	mu       sync.Mutex
	files    Files            // guarded by mu
	clients  map[*Client]bool // guarded by mu; true: of the run that was drained last
	draining bool             // guarded by mu: the process has ended
}

// New returns a hub without a process.
func New(o Options) *Hub {
	return &Hub{opts: o, clients: map[*Client]bool{}, stdin: newStdin()}
}

// Start gives the hub the files of a run and begins to read them. Drain and End
// must follow.
func (h *Hub) Start(f Files) {
	h.mu.Lock()
	h.files, h.draining = f, false
	h.mu.Unlock()
	if f.Console != nil {
		h.stdin.open(f.Console, false)
		h.pumps.Go(func() { h.pump(f.Console, streamOut, h.opts.Stdout) })
		return
	}
	if f.Stdin != nil {
		h.stdin.open(f.Stdin, true)
	}
	if f.Stdout != nil {
		h.pumps.Go(func() { h.pump(f.Stdout, streamOut, h.opts.Stdout) })
	}
	if f.Stderr != nil {
		h.pumps.Go(func() { h.pump(f.Stderr, streamErr, h.opts.Stderr) })
	}
}

// stream numbers are those of the attach protocol (stdcopy).
type stream int

const (
	streamOut stream = 1
	streamErr stream = 2
)

// pump reads f to its end, into the sink and to every client. A terminal ends
// with EIO, a drain with a deadline; both are an end like any other.
func (h *Hub) pump(f *os.File, s stream, sink Sink) {
	buf := make([]byte, 32<<10)
	told := false
	fail := func(err error) {
		if err != nil && !told {
			told = true
			h.opts.SinkFailed(err)
		}
	}
	for {
		n, err := f.Read(buf)
		if n > 0 {
			if sink != nil { // also after a failure: a full disk may be emptied
				_, e := sink.Write(buf[:n])
				fail(e)
			}
			h.deliver(s, buf[:n])
		}
		if err != nil {
			break
		}
	}
	if sink != nil {
		fail(sink.Flush())
	}
}

func (h *Hub) deliver(s stream, p []byte) {
	h.mu.Lock()
	to := make([]*Client, 0, len(h.clients))
	for c := range h.clients {
		to = append(to, c)
	}
	h.mu.Unlock()
	for _, c := range to {
		c.push(chunk{s, p})
	}
}

// Drain is called when the process has ended. It reads what is left, for at
// most limit: another process may still hold the other end. Then it closes the files.
func (h *Hub) Drain(limit time.Duration) error {
	h.mu.Lock()
	h.draining = true
	f := h.files
	h.files = Files{}
	for c := range h.clients {
		c.unbind()
	}
	h.mu.Unlock()
	h.stdin.close()
	deadline := time.Now().Add(limit)
	for _, r := range []*os.File{f.Console, f.Stdout, f.Stderr} {
		if r != nil {
			_ = r.SetReadDeadline(deadline) // a file without deadlines ends by EOF
		}
	}
	h.pumps.Wait()
	var err error
	for _, r := range []*os.File{f.Console, f.Stdout, f.Stderr} {
		if r != nil {
			err = errors.Join(err, r.Close())
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		h.clients[c] = true
	}
	return err
}

// EndRun tells the clients of the run that was drained that there is no more;
// those that have attached for the next run since then stay.
func (h *Hub) EndRun() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c, over := range h.clients {
		if over {
			c.end()
			delete(h.clients, c)
		}
	}
}

// End tells all clients that there is no more; their queues are still sent.
// Also for a start that failed.
func (h *Hub) End() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		c.end()
		delete(h.clients, c)
	}
}

// Clients is the number of attached clients.
func (h *Hub) Clients() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

// Attach registers a client for the streams it wants. From now on nothing is
// lost to it. running says that it wants the present run, even if that ends just
// now, not the next. [Client.Serve] must follow.
func (h *Hub) Attach(stdout, stderr, running bool) *Client {
	c := &Client{hub: h, stdout: stdout, stderr: stderr}
	c.more = sync.NewCond(&c.mu)
	h.mu.Lock()
	defer h.mu.Unlock()
	if running && h.draining {
		c.ended = true
		return c
	}
	h.clients[c] = false
	return c
}

func (h *Hub) detach(c *Client) {
	h.mu.Lock()
	delete(h.clients, c)
	h.mu.Unlock()
	c.drop()
}

// CloseStdin closes the process's standard input.
func (h *Hub) CloseStdin() { h.stdin.close() }

// errNoInput is returned to a client's copy when the process has ended.
var errNoInput = errors.New("the process takes no input")

// stdin is the process's standard input: many clients, one write at a time.
type stdin struct {
	turn chan struct{} // one token: who writes

	mu     sync.Mutex
	f      *os.File      // guarded by mu; nil before Start and after close
	owned  bool          // guarded by mu: close closes f (a terminal is closed by Drain)
	opened chan struct{} // guarded by mu; closed by open, replaced by close
}

func newStdin() stdin {
	return stdin{turn: make(chan struct{}, 1), opened: make(chan struct{})}
}

func (s *stdin) open(f *os.File, owned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.f, s.owned = f, owned
	close(s.opened)
}

func (s *stdin) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return
	}
	if s.owned {
		_ = s.f.Close() // a pipe's end: nothing can be lost by a failing close
	} else {
		_ = s.f.SetWriteDeadline(time.Now()) // wakes a writer; Drain closes it
	}
	s.f = nil
	s.opened = make(chan struct{})
}

// file waits until the process has started.
func (s *stdin) file(ctx context.Context) (*os.File, error) {
	s.mu.Lock()
	f, opened := s.f, s.opened
	s.mu.Unlock()
	for f == nil {
		select {
		case <-opened:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		s.mu.Lock()
		f, opened = s.f, s.opened
		s.mu.Unlock()
	}
	return f, nil
}

// write writes all of p, unless ctx ends or the process does.
func (s *stdin) write(ctx context.Context, p []byte) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	f, err := s.file(ctx)
	if err != nil {
		return err
	}
	if err := f.SetWriteDeadline(time.Time{}); err != nil {
		return errNoInput
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = f.SetWriteDeadline(time.Now()) // a closed file needs no waking
	})
	defer func() {
		if !stop() {
			<-stopped // its deadline must not hit the next writer
		}
	}()
	if _, err := f.Write(p); err != nil {
		return errors.Join(errNoInput, err)
	}
	return nil
}
