package engine

import (
	"context"
	"time"

	"berth/container"
	"berth/container/stdio"

	"github.com/moby/moby/api/types/events"
)

// Session is an attached client's part in the engine. Serve or Close it.
type Session struct {
	// TTY: the output is one raw stream. Stdin: input is wanted.
	TTY, Stdin bool

	replay func(context.Context, Peer)
	client *stdio.Client
	gone   func() // the peer has gone
	done   func()
	stream bool
}

// Attach registers a client for a container's streams. The container need not
// run: then the client gets the next run from its first byte.
func (e *Engine) Attach(_ context.Context, ref string, o AttachOptions) (*Session, error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return nil, err
	}
	rec := c.Record()
	l := e.liveOf(c)
	s := &Session{TTY: rec.Config.Tty, Stdin: o.Stdin && o.Stream && rec.Config.OpenStdin, stream: o.Stream}
	s.gone = func() { e.abandoned(c) }
	s.client = l.hub.Attach(o.Stdout && o.Stream, o.Stderr && o.Stream, rec.State.Status.Alive())
	if c.Status() == container.Removed { // since it was found: no run will follow
		s.Close()
		return nil, noContainer(ref)
	}
	if o.Logs && l.log != nil {
		q := LogQuery{Tail: -1, Stdout: o.Stdout, Stderr: o.Stderr, Until: time.Now()}
		s.replay = func(ctx context.Context, p Peer) {
			err := l.log.Read(ctx, q, func(entry LogEntry) error {
				to := p.Stdout
				if entry.Stream == "stderr" {
					to = p.Stderr
				}
				_, err := to.Write([]byte(entry.Log))
				return err
			})
			if err != nil {
				e.Log.Warn("replay log", "container", c.ID(), "error", err)
			}
		}
	}
	e.publish(c, events.ActionAttach)
	return s, nil
}

// Serve moves data until the process has ended, the peer fails or ctx ends.
func (s *Session) Serve(ctx context.Context, p Peer) {
	if s.replay != nil {
		s.replay(ctx, p)
	}
	if !s.stream {
		s.Close()
		return
	}
	s.client.Serve(ctx, p)
	if ctx.Err() != nil && s.gone != nil {
		s.gone()
	}
	s.end()
}

// abandoned removes a container that was to be removed at its end, if its client
// has gone before it was ever started: nobody else knows of it.
func (e *Engine) abandoned(c *container.Container) {
	ctx := context.WithoutCancel(e.watch)
	unlock, err := c.Lock(ctx)
	if err != nil {
		return
	}
	defer unlock()
	rec := c.Record()
	if !rec.AutoRemove() || rec.State.Status != container.Created {
		return
	}
	if err := e.remove(ctx, c, true); err != nil {
		e.Log.Error("remove container that was never started", "container", c.ID(), "error", err)
	}
}

// Close gives up a session that is not served; after Serve it does nothing.
func (s *Session) Close() {
	if s.client != nil {
		s.client.Close()
	}
	s.end()
}

func (s *Session) end() {
	if s.done != nil {
		s.done()
		s.done = nil
	}
}
