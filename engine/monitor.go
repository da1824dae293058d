package engine

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"berth/container"
	"berth/ociruntime/lifecycle"

	"github.com/moby/moby/api/types/events"
)

// drainLimit is how long output is waited for after init has ended. All
// processes are dead then; only a file passed to another container can still
// hold a pipe open.
const drainLimit = 5 * time.Second

// monitor waits for a container's end. Close joins its goroutine.
func (e *Engine) monitor(c *container.Container, l *live, p *lifecycle.Container) {
	e.monitors.Go(func() {
		exit, err := p.Wait(e.watch)
		if e.watch.Err() != nil {
			e.leave(c, l)
			return
		}
		if err != nil {
			e.Log.Error("exit of container is lost", "container", c.ID(), "error", err)
			exit = lifecycle.Exit{Code: 255, Finished: time.Now()}
		}
		e.ended(c, l, p, exit)
	})
}

// leave lets go of a running container: the daemon ends, the keeper stays and
// keeps what is not read yet.
func (e *Engine) leave(c *container.Container, l *live) {
	err := l.hub.Drain(0)
	l.hub.End()
	if l.log != nil {
		err = errors.Join(err, l.log.End())
	}
	if err != nil {
		e.Log.Warn("let go of container", "container", c.ID(), "error", err)
	}
}

// ended cleans up after a container and records its end. The record comes
// last, so that whoever sees it can start the container again.
func (e *Engine) ended(c *container.Container, l *live, p *lifecycle.Container, exit lifecycle.Exit) {
	ctx := context.WithoutCancel(e.watch)
	var err error
	// Outside a pid namespace of its own, processes outlive init and would hold
	// the output open.
	if mode := c.Record().HostConfig.PidMode; p.Cgroup() != nil && (mode.IsHost() || mode.IsContainer()) {
		err = p.Cgroup().Kill(ctx)
	}
	err = errors.Join(err, l.hub.Drain(drainLimit))
	if l.log != nil {
		err = errors.Join(err, l.log.End())
	}
	oom := e.oomKilled(c.ID(), p)
	e.execs.DropIdle(c.ID())
	if derr := p.Delete(ctx); derr != nil {
		err = errors.Join(err, derr) // the run directory stays: the next start or daemon tries again
	} else {
		err = errors.Join(err, os.RemoveAll(e.runDir(c.ID())))
	}
	err = errors.Join(err, e.Leave(c.ID()))
	e.giveBack(l.set(nil, nil, container.NoSlot)) // now nobody joins it any more
	if err != nil {
		e.Log.Error("clean up after container", "container", c.ID(), "error", err)
	}
	restart := e.wantsRestart(c, l, exit)
	to := container.Exited
	if restart > 0 {
		to = container.Restarting
	}
	err = c.Fact(to, func(st *container.State) {
		st.Pid, st.ExitCode, st.OOMKilled, st.FinishedAt = 0, exit.Code, oom, exit.Finished.UTC()
		if to == container.Restarting {
			st.RestartCount++
		}
	})
	if err != nil {
		e.Log.Error("record the end of container", "container", c.ID(), "error", err)
	}
	l.hub.EndRun() // the next run may have clients already
	if oom {
		e.publish(c, events.ActionOOM)
	}
	e.publish(c, events.ActionDie, "exitCode", strconv.Itoa(exit.Code))
	rec := c.Record()
	switch {
	case restart > 0:
		e.restartLater(c, l, restart)
	case rec.AutoRemove():
		e.autoRemove(ctx, c)
	}
}

func (e *Engine) oomKilled(id string, p *lifecycle.Container) bool {
	cg := p.Cgroup()
	if cg == nil {
		return false
	}
	oom, err := cg.OOMKilled()
	if err != nil {
		e.Log.Warn("read whether container ran out of memory", "container", id, "error", err)
	}
	return oom
}

// autoRemove removes a container that has ended, unless somebody removes or
// restarts it at the same moment.
func (e *Engine) autoRemove(ctx context.Context, c *container.Container) {
	unlock, err := c.Lock(ctx)
	if err != nil {
		return
	}
	defer unlock()
	if c.Status() != container.Exited {
		return
	}
	if err := e.remove(ctx, c, true); err != nil {
		e.Log.Error("remove container that has ended", "container", c.ID(), "error", err)
	}
}

// wantsRestart returns the pause before a restart, or 0 for none.
func (e *Engine) wantsRestart(c *container.Container, l *live, exit lifecycle.Exit) time.Duration {
	rec := c.Record()
	l.mu.Lock()
	defer l.mu.Unlock()
	pause := rec.RestartPause(exit.Code, time.Since(rec.State.StartedAt), l.delay)
	l.delay = pause
	return pause
}

// restartLater starts the container after the pause, unless somebody stops or
// removes it meanwhile or the daemon ends.
func (e *Engine) restartLater(c *container.Container, l *live, pause time.Duration) {
	ctx, cancel := context.WithCancel(e.watch)
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
	e.monitors.Go(func() {
		defer cancel()
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		unlock, err := c.Lock(ctx)
		if err != nil {
			return
		}
		defer unlock()
		if c.Status() != container.Restarting {
			return
		}
		if err := e.start(context.WithoutCancel(ctx), c); err != nil {
			e.Log.Error("restart container", "container", c.ID(), "error", err)
		}
	})
}
