package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"berth/container"
	"berth/engine/report"
	"berth/spec"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
)

// Remove deletes a container, its writable layer and its log.
func (e *Engine) Remove(ctx context.Context, ref string, o RemoveOptions) error {
	c, unlock, err := e.lock(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	rec := c.Record()
	switch {
	case rec.State.Status.Alive() && !o.Force:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot remove container %s: it is %s: stop it first or use force", rec.Name, rec.State.Status))
	case rec.State.Status.Alive():
		if err := e.killLocked(ctx, c); err != nil {
			return err
		}
	case rec.State.Status == container.Restarting:
		if err := e.stopLocked(ctx, c, StopOptions{}); err != nil {
			return err
		}
	}
	return e.remove(context.WithoutCancel(ctx), c, o.Volumes)
}

// killLocked ends a container at once, under its verb lock.
func (e *Engine) killLocked(_ context.Context, c *container.Container) error {
	e.markStopped(c)
	ctx := e.watch // a client that goes away must not leave the work half done
	p, err := e.liveOf(c).running(c.Record().Name)
	if err != nil {
		return waitEnd(ctx, c, killTimeout) // it ends just now
	}
	if err := e.signal(ctx, c, p, syscall.SIGKILL); err != nil {
		return err
	}
	return waitEnd(ctx, c, killTimeout)
}

// remove deletes a container that does not run, under its verb lock: intent,
// work, done.
func (e *Engine) remove(ctx context.Context, c *container.Container, volumes bool) error {
	rec := c.Record()
	if rec.State.Status != container.Removing {
		if err := c.Transition(container.Removing, nil); err != nil {
			return err
		}
	}
	if err := e.discard(ctx, c, &rec, volumes); err != nil {
		dead := c.Fact(container.Dead, func(st *container.State) { st.Error = err.Error() })
		return errors.Join(err, dead)
	}
	if err := e.records.Delete(c); err != nil {
		return err
	}
	e.forget(c.ID())
	e.publish(c, events.ActionDestroy)
	return e.ContainerGone(ctx, rec.Image)
}

// discard deletes what a container has outside its own directory.
func (e *Engine) discard(ctx context.Context, c *container.Container, rec *container.Record, volumes bool) error {
	// A run directory is left when the last end could not be cleaned up. The id
	// range must not be given to another container while processes have it.
	if _, err := os.Lstat(e.runDir(c.ID())); err == nil {
		if err := e.sweepRun(ctx, c.ID()); err != nil {
			return err
		}
	}
	if err := e.Leave(c.ID()); err != nil { // plugins failed at its end; the next daemon tries again
		e.Log.Error("leave the networks of container", "container", c.ID(), "error", err)
	}
	if volumes {
		if err := e.removeAnonymous(rec); err != nil {
			return err
		}
	}
	return e.Snapshots.Discard(ctx, c.ID())
}

// Prune removes the containers that do not run.
func (e *Engine) Prune(ctx context.Context, f Filters) (mcontainer.PruneReport, error) {
	report := mcontainer.PruneReport{ContainersDeleted: []string{}}
	if err := f.Check("until", "label", "label!"); err != nil {
		return report, err
	}
	before, err := f.Until()
	if err != nil {
		return report, err
	}
	for _, c := range e.records.List() {
		rec := c.Record()
		without := Filters{"label": f["label!"]}
		switch s := rec.State.Status; {
		case s != container.Created && s != container.Exited && s != container.Dead,
			!before.IsZero() && rec.Created.After(before),
			!f.MatchLabels(rec.Config.Labels),
			len(f["label!"]) > 0 && without.MatchLabels(rec.Config.Labels):
			continue
		}
		size := e.writableSize(c.ID())
		err := e.Remove(ctx, c.ID(), RemoveOptions{})
		if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
			continue // somebody removed or started it
		}
		if err != nil {
			return report, err
		}
		report.ContainersDeleted = append(report.ContainersDeleted, c.ID())
		report.SpaceReclaimed += uint64(size)
	}
	return report, nil
}

// writableSize is the space a container's own layer takes; what cannot be
// counted counts nothing: a size is only information.
func (e *Engine) writableSize(id string) int64 {
	n, err := e.Snapshots.Usage(id)
	if err != nil {
		return 0
	}
	return n
}

// removeAnonymous deletes a container's anonymous volumes.
func (e *Engine) removeAnonymous(rec *container.Record) error {
	mounts, err := spec.Mounts(*rec.Config, rec.HostConfig)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.Type == mount.TypeVolume && m.Name == "" {
			if err := e.volumes.Remove(report.AnonymousVolume(rec.ID, m.Target)); err != nil {
				return err
			}
		}
	}
	return nil
}
