package session

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"berth/cli/client"

	"github.com/moby/moby/api/pkg/stdcopy"
)

// Session joins streams to one process of a container.
type Session struct {
	// In is the caller's input, nil if the process gets none.
	In *Input
	// Out and Err take the process's output; nil drops it.
	Out, Err io.Writer
	// TTY is set when the process has a terminal, so that its output is one raw
	// stream; otherwise it comes in frames that name stdout or stderr.
	TTY bool
	// Keys detach; nil for a process that cannot be detached from. Without TTY the
	// input is data, which may hold any bytes, so the keys mean nothing there.
	Keys []byte
	// Terminal is in raw mode, or nil.
	Terminal *Terminal
	// Window is the terminal whose size the process's terminal follows, or nil.
	Window *os.File
	// Resize tells the daemon the size of Window.
	Resize func(ctx context.Context, height, width uint) error
}

// Run copies in both directions until the process's output ends, the detach keys
// come (ErrDetached) or the context ends (its cause). All output that came has
// been written when it returns, and the connection is closed.
func (s *Session) Run(ctx context.Context, conn *client.Hijacked) error {
	outer := ctx
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	closed := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer closed()

	keys := s.Keys
	if !s.TTY {
		keys = nil
	}
	var work sync.WaitGroup
	done := make(chan struct{})
	defer func() {
		close(done)
		_ = conn.Close() // ends a write of input that nobody takes
		work.Wait()
	}()
	sized := make(chan struct{}) // closed once the process may have input
	if s.Window != nil && s.Resize != nil {
		work.Add(1)
		go func() {
			defer work.Done()
			s.followSize(ctx, done, sized)
		}()
	} else {
		close(sized)
	}
	work.Add(1)
	go func() {
		defer work.Done()
		defer s.Terminal.OnPanic()
		if s.In == nil {
			return
		}
		select {
		case <-sized:
		case <-done:
			return
		}
		if err := s.In.copy(conn, keys, done); errors.Is(err, ErrDetached) {
			cancel(ErrDetached)
		}
		// Any other error means that the process takes no more input; that its
		// output goes on is normal (`yes | berth run -i IMAGE head`).
	}()
	err := CopyOutput(conn, s.TTY, s.Out, s.Err)
	switch {
	case outer.Err() != nil: // the connection may have been closed before this news came to ctx
		return context.Cause(outer)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// CopyOutput copies a process's output to its end: one raw stream of a terminal,
// else frames that name stdout or stderr. A nil writer drops its stream.
func CopyOutput(from io.Reader, tty bool, stdout, stderr io.Writer) error {
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	var err error
	if tty {
		_, err = io.Copy(stdout, from)
	} else {
		_, err = stdcopy.StdCopy(stdout, stderr, from)
	}
	return err
}

// followSize tells the size now, closes told, and tells it after each change. It
// sets raw mode again when berth is continued after a stop.
func (s *Session) followSize(ctx context.Context, done <-chan struct{}, told chan<- struct{}) {
	defer s.Terminal.OnPanic()
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH, syscall.SIGCONT)
	defer signal.Stop(changed)
	tell := func() {
		if h, w := Size(s.Window); h > 0 && w > 0 {
			_ = s.Resize(ctx, h, w) // the process may have ended; its end is told by the output
		}
	}
	tell()
	close(told)
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case sig := <-changed:
			if sig == syscall.SIGCONT {
				s.Terminal.Again()
			}
			tell()
		}
	}
}
