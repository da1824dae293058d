package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"berth/container"
	"berth/internal/linux"
	"berth/ociruntime/lifecycle"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// defaultStopTimeout is how long a container may take to end by itself.
const defaultStopTimeout = 10 * time.Second

// parseSignal reads a signal's name, with or without SIG, or its number.
func parseSignal(s string) (syscall.Signal, error) {
	sig, ok := linux.ParseSignal(s)
	if !ok {
		return 0, invalid("unknown signal %.40q: use a name like SIGTERM or a number from 1 to 64", s)
	}
	return sig, nil
}

// Stop asks a container to end and kills it after the timeout. Of class
// NotModified if it does not run.
func (e *Engine) Stop(ctx context.Context, ref string, o StopOptions) error {
	c, unlock, err := e.lock(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	if !c.Status().Alive() && c.Status() != container.Restarting {
		return errdefs.ErrNotModified
	}
	return e.stopLocked(ctx, c, o)
}

// stopLocked stops a container under its verb lock.
func (e *Engine) stopLocked(ctx context.Context, c *container.Container, o StopOptions) error {
	rec, l := c.Record(), e.liveOf(c)
	name := o.Signal
	if name == "" {
		name = rec.Config.StopSignal
	}
	sig := syscall.SIGTERM
	if name != "" {
		var err error
		if sig, err = parseSignal(name); err != nil {
			return err
		}
	}
	timeout := defaultStopTimeout
	if seconds := firstOf(o.Timeout, rec.Config.StopTimeout); seconds != nil {
		timeout = time.Duration(*seconds) * time.Second
	}
	e.markStopped(c)
	if c.Status() == container.Restarting {
		return e.cancelRestart(c, l)
	}
	// A client that goes away must not leave the work half done, unless nothing
	// else would end the wait.
	if timeout >= 0 {
		ctx = e.watch
	}
	p, err := l.running(rec.Name)
	if err != nil { // it has just ended by itself
		return waitEnd(ctx, c, killTimeout)
	}
	if err := e.signal(ctx, c, p, sig); err != nil {
		return err
	}
	if err := waitEnd(ctx, c, timeout); err == nil || ctx.Err() != nil {
		if err == nil {
			e.publish(c, events.ActionStop)
		}
		return err
	}
	if err := e.signal(ctx, c, p, syscall.SIGKILL); err != nil {
		return err
	}
	if err := waitEnd(ctx, c, killTimeout); err != nil {
		return fmt.Errorf("container %s does not end after SIGKILL: a process of it hangs in the kernel: %w", rec.Name, err)
	}
	e.publish(c, events.ActionStop)
	return nil
}

// killTimeout is when a killed container is given up: its processes wait in
// the kernel for a device.
const killTimeout = time.Minute

func firstOf(a, b *int) *int {
	if a != nil {
		return a
	}
	return b
}

// markStopped notes that the user wants the end. A full disk must not keep a
// container from being stopped.
func (e *Engine) markStopped(c *container.Container) {
	if err := c.MarkStopped(); err != nil {
		e.Log.Error("record that container shall end", "container", c.ID(), "error", err)
	}
}

func (e *Engine) cancelRestart(c *container.Container, l *live) error {
	l.mu.Lock()
	cancel := l.cancel
	l.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return c.Fact(container.Exited, nil)
}

// signal sends a signal to init. A frozen process gets it when it thaws, so a
// signal that shall end it thaws it.
func (e *Engine) signal(ctx context.Context, c *container.Container, p *lifecycle.Container, sig syscall.Signal) error {
	err := p.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("signal container %s: %w", c.Record().Name, err)
	}
	if c.Status() != container.Paused {
		return nil
	}
	if err := p.Resume(ctx); err != nil && !hasEnded(err) {
		return err
	}
	err = c.Fact(container.Running, nil)
	if errdefs.IsFailedPrecondition(err) {
		return nil // it has ended already
	}
	return err
}

// waitEnd waits until the container has no process; a negative timeout is none.
func waitEnd(ctx context.Context, c *container.Container, timeout time.Duration) error {
	if timeout >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	_, err := c.WaitFor(ctx, func(r *container.Record) bool { return !r.State.Status.Alive() })
	return err
}

// Kill sends a signal, SIGKILL if none is named. It does not take the verb
// lock: it must work while a stop waits.
func (e *Engine) Kill(ctx context.Context, ref, signal string) error {
	c, err := e.records.Get(ref)
	if err != nil {
		return err
	}
	sig := syscall.SIGKILL
	if signal != "" {
		if sig, err = parseSignal(signal); err != nil {
			return err
		}
	}
	rec := c.Record()
	p, err := e.liveOf(c).running(rec.Name)
	if err != nil {
		return err
	}
	stopSignal, _ := parseSignal(rec.Config.StopSignal) // checked at create
	if sig == syscall.SIGKILL || sig == syscall.SIGTERM || sig == stopSignal {
		e.markStopped(c)
	}
	if sig == syscall.SIGKILL {
		err = e.signal(ctx, c, p, sig)
	} else if err = p.Signal(sig); errors.Is(err, os.ErrProcessDone) {
		err = notRunning(rec.Name)
	}
	if err != nil {
		return err
	}
	e.publish(c, events.ActionKill, "signal", fmt.Sprint(int(sig)))
	if sig == syscall.SIGKILL {
		// Docker returns when the container has ended; scripts rely on it.
		return waitEnd(ctx, c, killTimeout)
	}
	return nil
}

// Restart stops a container, if it runs, and starts it.
func (e *Engine) Restart(ctx context.Context, ref string, o StopOptions) error {
	c, unlock, err := e.lock(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	if c.Status().Alive() || c.Status() == container.Restarting {
		if err := e.stopLocked(ctx, c, o); err != nil {
			return err
		}
	}
	if err := e.start(context.WithoutCancel(ctx), c); err != nil {
		return err
	}
	e.publish(c, events.ActionRestart)
	return nil
}

// Pause freezes a container's processes.
func (e *Engine) Pause(ctx context.Context, ref string) error {
	return e.freeze(ctx, ref, container.Paused, events.ActionPause, (*lifecycle.Container).Pause)
}

// Unpause thaws them.
func (e *Engine) Unpause(ctx context.Context, ref string) error {
	return e.freeze(ctx, ref, container.Running, events.ActionUnPause, (*lifecycle.Container).Resume)
}

func (e *Engine) freeze(ctx context.Context, ref string, to container.Status, action events.Action, do func(*lifecycle.Container, context.Context) error) error {
	c, unlock, err := e.lock(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	rec := c.Record()
	p, err := e.liveOf(c).running(rec.Name)
	if err != nil {
		return err
	}
	if rec.State.Status == to {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is already %s", rec.Name, to))
	}
	if err := do(p, ctx); hasEnded(err) {
		return notRunning(rec.Name)
	} else if err != nil {
		return err
	}
	if err := c.Fact(to, nil); err != nil {
		return err
	}
	e.publish(c, action)
	return nil
}
