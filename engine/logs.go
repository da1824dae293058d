package engine

import (
	"context"

	"github.com/containerd/errdefs"
)

// Logs is a checked request for a log.
type Logs struct {
	// TTY: there is one raw stream.
	TTY  bool
	read func(context.Context, func(LogEntry) error) error
}

// Read calls emit for each entry; with Follow until the run ends or ctx does.
func (l *Logs) Read(ctx context.Context, emit func(LogEntry) error) error { return l.read(ctx, emit) }

// OpenLogs prepares the reading of a container's log.
func (e *Engine) OpenLogs(_ context.Context, ref string, o LogOptions) (*Logs, error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return nil, err
	}
	l := e.liveOf(c)
	if l.log == nil {
		return nil, errdefs.ErrNotImplemented.WithMessage("container " + c.Record().Name + " keeps no log: its log driver is none")
	}
	return &Logs{TTY: c.Record().Config.Tty, read: func(ctx context.Context, emit func(LogEntry) error) error {
		return l.log.Read(ctx, o.LogQuery, emit)
	}}, nil
}
