package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"berth/container"
	"berth/engine/bundle"
	"berth/internal/fault"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/lifecycle"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// recover makes memory, the data root, the run directory and the kernel agree
// after the last daemon's end, whatever ended it. Nothing else runs yet. A
// cgroup or process of a container always has a run directory: that is made
// first and removed last. What has none may be another daemon's and is left alone.
func (e *Engine) recover(ctx context.Context, left []container.Leftover) error {
	if err := os.MkdirAll(filepath.Join(e.Run, "containers"), 0o700); err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	// An adopted container has a monitor from then on: if it ends meanwhile, the
	// record of its end is the monitor's to write.
	adopted := map[string]bool{}
	e.recoverCreates(ctx, left) // unfinished creates go
	// run directories: adopt, or undo the start
	if err := e.recoverRuns(ctx, adopted); err != nil {
		return fmt.Errorf("repair what the last berthd has left: %w", err)
	}
	if err := e.Reconcile(); err != nil { // rules and bridges; containers go on without
		e.Log.Error("repair networks", "error", err)
	}
	e.recoverRecords(adopted)       // records that say what is no longer true
	e.recoverRemovals(ctx, adopted) // unfinished removals, and --rm
	e.recoverRestarts(ctx)
	return nil
}

func (e *Engine) recoverCreates(ctx context.Context, left []container.Leftover) {
	for _, l := range left {
		if l.Err != nil { // nobody knows what it is: it stays
			e.Log.Error("skip container directory", "path", l.Path, "error", l.Err)
			continue
		}
		e.Log.Info("remove unfinished container", "path", l.Path)
		err := e.Snapshots.Discard(ctx, filepath.Base(l.Path))
		if err == nil {
			err = os.RemoveAll(l.Path)
		}
		if err != nil { // the next daemon tries again
			e.Log.Error("remove unfinished container", "path", l.Path, "error", err)
		}
	}
}

// recoverRuns adopts what runs and ends what cannot be adopted.
func (e *Engine) recoverRuns(ctx context.Context, adopted map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(e.Run, "containers"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		id := entry.Name()
		if container.CheckID(id) != nil {
			e.Log.Error("skip foreign run directory", "name", id)
			continue
		}
		c, err := e.records.Get(id)
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		var why error = errdefs.ErrNotFound // no record
		if c != nil {
			if why = e.adopt(c); why == nil {
				adopted[id] = true
				continue
			}
			if fault.Passing(why) { // the container may well run, and goes on until a daemon can adopt it
				return fmt.Errorf("adopt container %s: %w", id, why)
			}
		}
		e.Log.Info("undo unfinished start", "container", id, "reason", why)
		// The directory stays if that fails: the next start, removal or daemon tries again.
		if err := e.sweepRun(ctx, id); err != nil {
			e.Log.Error("end what is left of container", "container", id, "error", err)
		}
	}
	return nil
}

// adopt takes over a container that a former daemon started. Its streams, its
// exit code and what it wrote meanwhile are still with its keeper.
func (e *Engine) adopt(c *container.Container) error {
	s, err := bundle.Load(e.runDir(c.ID()))
	if err != nil {
		return err
	}
	p, err := e.Runtime.Adopt(c.ID(), e.runDir(c.ID()), s)
	if err != nil {
		return err
	}
	rec := c.Record()
	if err := e.Restore(&rec, p.Pid()); err != nil { // its interfaces work all the same
		e.Log.Error("restore networks of container", "container", c.ID(), "error", err)
	}
	l := e.liveOf(c)
	if l.log != nil {
		l.log.Begin()
	}
	l.hub.Start(filesOfProcess(p.Process))
	switch status := c.Status(); {
	case status == container.Paused, status == container.Running:
		err = c.Update(func(r *container.Record) error {
			r.State.Pid = p.Pid()
			return nil
		})
	default: // the daemon died between the start and its record
		err = errors.Join(c.Transition(container.Starting, nil), c.Transition(container.Running, func(st *container.State) {
			st.Pid, st.StartedAt, st.Error, st.Stopped = p.Pid(), time.Now().UTC(), "", false
		}))
	}
	if err != nil {
		e.Log.Error("adopt container", "container", c.ID(), "error", err)
	}
	l.set(p, s, e.borrowed(c, s))
	e.adoptExecs(c)
	e.monitor(c, l, p)
	e.Log.Info("adopted container", "container", c.ID(), "pid", p.Pid())
	return nil
}

// adoptExecs takes over the keepers of execs. Nobody knows their clients any
// more: what they write is read and forgotten until they end.
func (e *Engine) adoptExecs(c *container.Container) {
	for _, dir := range bundle.ExecDirs(e.runDir(c.ID())) {
		p, err := e.adoptExec(dir)
		if err != nil {
			e.Log.Warn("adopt exec", "directory", dir, "error", err)
			continue
		}
		x, err := e.execs.Add(c, mcontainer.ExecCreateRequest{Cmd: []string{"?"}})
		if err != nil {
			e.Log.Warn("adopt exec", "directory", dir, "error", err)
			continue
		}
		x.Begin()
		x.Started(p.Process)
		x.Hub.Start(filesOfProcess(p.Process))
		e.monitors.Go(func() { e.watchExec(x, p.Process, dir) })
	}
}

func (e *Engine) adoptExec(dir string) (*lifecycle.Container, error) {
	s, err := bundle.Load(dir)
	if err != nil {
		return nil, err
	}
	return e.Runtime.Adopt(bundle.ExecID(dir), dir, s)
}

// sweepRun ends whatever belongs to a run directory and removes it.
func (e *Engine) sweepRun(ctx context.Context, id string) error {
	dir := e.runDir(id)
	for _, x := range bundle.ExecDirs(dir) {
		p, err := e.adoptExec(x)
		if err != nil { // what it runs ends with the container's cgroup
			if err := e.Runtime.KillKeeper(bundle.ExecID(x)); err != nil {
				return err
			}
			continue
		}
		if err := deleteRun(ctx, p); err != nil {
			return err
		}
	}
	s, err := bundle.Load(dir)
	if err != nil {
		s = &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{CgroupsPath: bundle.CgroupPath(id)}}
	}
	p, err := e.Runtime.Adopt(id, dir, s)
	if err == nil {
		err = deleteRun(ctx, p)
	} else { // what cannot be adopted can still be killed
		err = errors.Join(e.Runtime.KillKeeper(id), deleteCgroup(ctx, id))
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func deleteRun(ctx context.Context, p *lifecycle.Container) error {
	err := p.Delete(ctx)
	f := filesOfProcess(p.Process)
	for _, file := range []*os.File{f.Console, f.Stdin, f.Stdout, f.Stderr} {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	return err
}

func deleteCgroup(ctx context.Context, id string) error {
	cg, err := cgroups.Open(bundle.CgroupPath(id))
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(cg.Kill(ctx), cg.Delete(ctx))
}

// unknownExit is the exit code of a container whose end nobody saw, after a
// reboot or a killed keeper (Docker's value).
const unknownExit = 255

// recoverRecords ends the records of containers that no longer run.
func (e *Engine) recoverRecords(adopted map[string]bool) {
	for _, c := range e.records.List() {
		status := c.Status()
		if adopted[c.ID()] || status != container.Restarting && !status.Alive() {
			continue
		}
		err := c.Fact(container.Exited, func(st *container.State) {
			if status.Alive() {
				st.Pid, st.ExitCode, st.FinishedAt = 0, unknownExit, time.Now().UTC()
			}
		})
		if err != nil {
			e.Log.Error("record the end of container", "container", c.ID(), "error", err)
		}
	}
}

// recoverRemovals finishes removals and removes --rm containers that have run.
func (e *Engine) recoverRemovals(ctx context.Context, adopted map[string]bool) {
	for _, c := range e.records.List() {
		rec := c.Record()
		removing := rec.State.Status == container.Removing || rec.State.Status == container.Dead
		if !removing && (adopted[c.ID()] || !rec.AutoRemove() || rec.State.Status != container.Exited) {
			continue
		}
		if err := e.remove(ctx, c, rec.AutoRemove()); err != nil {
			e.Log.Error("finish the removal of container", "container", c.ID(), "error", err)
		}
	}
}

// recoverRestarts starts what its restart policy wants to run.
func (e *Engine) recoverRestarts(ctx context.Context) {
	for _, c := range e.records.List() {
		rec := c.Record()
		if !rec.RestartsWithDaemon() {
			continue
		}
		unlock, err := c.Lock(ctx)
		if err != nil {
			return
		}
		if err := e.start(ctx, c); err != nil {
			e.Log.Error("restart container", "container", c.ID(), "error", err)
		}
		unlock()
	}
}
