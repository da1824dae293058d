package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"berth/cli/command"
)

// SignalError is the cause of a context that a signal ended.
type SignalError struct{ Signal syscall.Signal }

func (e *SignalError) Error() string { return fmt.Sprintf("ended by signal %s", e.Signal) }

// forceAfter is the number of SIGINT and SIGTERM after which berth ends without
// the container's consent, as docker does.
const forceAfter = 3

// Signals are the signals that ask berth to end. Until [Signals.Forward] they
// cancel the context with a [SignalError] as its cause; after it they go to the
// container.
type Signals struct {
	ch     chan os.Signal
	cancel context.CancelCauseFunc
	done   chan struct{}
	ended  sync.WaitGroup

	mu      sync.Mutex
	forward func(syscall.Signal) // guarded by mu
	leave   bool                 // guarded by mu: SIGHUP and SIGTERM end berth as well
}

// Catch begins to catch signals. Stop ends it.
func Catch(ctx context.Context) (context.Context, *Signals) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &Signals{ch: make(chan os.Signal, 16), cancel: cancel, done: make(chan struct{})}
	signal.Notify(s.ch, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	s.ended.Add(1)
	go s.run()
	return ctx, s
}

// Forward sends later signals to f. With leave set, which is for a terminal,
// SIGHUP and SIGTERM also end berth: whoever sends them wants the terminal back.
func (s *Signals) Forward(f func(syscall.Signal), leave bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forward, s.leave = f, leave
}

// Stop gives the signals their ordinary effect back.
func (s *Signals) Stop() {
	signal.Stop(s.ch)
	close(s.done)
	s.ended.Wait()
	s.cancel(nil)
}

func (s *Signals) run() {
	defer s.ended.Done()
	asked := 0
	for {
		select {
		case <-s.done:
			return
		case sig := <-s.ch:
			n := sig.(syscall.Signal)
			if n == syscall.SIGINT || n == syscall.SIGTERM {
				asked++
			}
			s.mu.Lock()
			forward, leave := s.forward, s.leave
			s.mu.Unlock()
			if forward != nil {
				forward(n)
				leave = leave && (n == syscall.SIGHUP || n == syscall.SIGTERM)
			}
			if forward == nil || leave || asked >= forceAfter {
				s.cancel(&SignalError{n})
			}
		}
	}
}

// ExitOf gives an error that a signal caused its exit code, 128+n, and nothing
// to print.
func ExitOf(err error) error {
	if e := (*SignalError)(nil); errors.As(err, &e) {
		return &command.Exit{Code: 128 + int(e.Signal)}
	}
	return err
}
