package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"berth/container"
	"berth/engine/bundle"
	"berth/engine/execs"
	"berth/ociruntime/lifecycle"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// execDrainLimit is how long output is waited for after an exec's process has
// ended: what it started may hold the pipe open for ever.
const execDrainLimit = 250 * time.Millisecond

// ExecCreate records what shall run in a running container.
func (e *Engine) ExecCreate(_ context.Context, ref string, r mcontainer.ExecCreateRequest) (string, error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return "", err
	}
	rec := c.Record()
	if _, err := e.liveOf(c).running(rec.Name); err != nil {
		return "", err
	}
	switch {
	case rec.State.Status == container.Paused:
		return "", pausedErr(rec.Name)
	case len(r.Cmd) == 0:
		return "", invalid("no exec command specified")
	}
	x, err := e.execs.Add(c, r)
	if err != nil {
		return "", err
	}
	e.publish(c, x.Action(events.ActionExecCreate), "execID", x.ID)
	return x.ID, nil
}

func alreadyRun(x *execs.Exec) error {
	return errdefs.ErrConflict.WithMessage("exec " + x.ID[:12] + " has already run")
}

// ExecAttach registers a client before the process starts, so that no output is
// lost.
func (e *Engine) ExecAttach(_ context.Context, id string, _ mcontainer.ExecStartRequest) (*Session, error) {
	x, err := e.execs.Get(id)
	if err != nil {
		return nil, err
	}
	if x.Begun() {
		return nil, alreadyRun(x)
	}
	return &Session{
		TTY: x.Request.Tty, Stdin: x.Request.AttachStdin, stream: true,
		client: x.Hub.Attach(x.Request.AttachStdout, x.Request.AttachStderr, false),
	}, nil
}

// ExecStart starts the process. Who entered which container, as whom and to do
// what is written to the daemon's log.
func (e *Engine) ExecStart(ctx context.Context, id string, r mcontainer.ExecStartRequest) error {
	x, err := e.execs.Get(id)
	if err != nil {
		return err
	}
	if !x.Begin() {
		return alreadyRun(x)
	}
	rec, req := x.Container.Record(), x.Request
	e.Log.Info("exec", "container", rec.ID, "name", rec.Name, "exec", x.ID, "user", req.User,
		"privileged", req.Privileged, "tty", req.Tty, "cmd", req.Cmd)
	if err = e.startExec(ctx, x, &rec, r); err == nil {
		e.publish(x.Container, x.Action(events.ActionExecStart), "execID", x.ID)
		return nil
	}
	code := 126
	var command interface{ ExitCode() int }
	if errors.As(err, &command) {
		code = command.ExitCode()
	}
	x.Finish(code)
	x.Hub.End()
	e.Log.Info("exec did not start", "exec", x.ID, "exitCode", code, "error", err)
	return err
}

func pausedErr(name string) error {
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is paused: unpause it first", name))
}

func (e *Engine) startExec(ctx context.Context, x *execs.Exec, rec *container.Record, r mcontainer.ExecStartRequest) error {
	l := e.liveOf(x.Container)
	c, err := l.running(rec.Name)
	if err != nil {
		return err
	}
	if rec.State.Status == container.Paused { // since ExecCreate; the process would wait, too
		return pausedErr(rec.Name)
	}
	// The root as the container sees it now; everything in it is opened through this file.
	root, err := os.Open(fmt.Sprintf("/proc/%d/root", c.Pid()))
	if hasEnded(err) {
		return notRunning(rec.Name)
	}
	if err != nil {
		return fmt.Errorf("open the root of container %s: %w", rec.Name, err)
	}
	defer root.Close()
	process, err := e.execProcess(root, rec, x.Request)
	if err != nil {
		return err
	}
	dir, err := bundle.MakeExecDir(e.runDir(rec.ID), x.ID[:16], process)
	if hasEnded(err) {
		return notRunning(rec.Name)
	}
	if err != nil {
		return err
	}
	a := lifecycle.ExecArgs{ID: x.ID[:16], RunDir: dir, Process: process, OpenStdin: x.Request.AttachStdin}
	if size := x.Size(r.ConsoleSize); size != nil {
		a.ConsoleHeight, a.ConsoleWidth = uint16(size[0]), uint16(size[1])
	}
	p, err := c.Exec(ctx, a)
	if err != nil {
		var step *lifecycle.StepError
		switch {
		case errors.As(err, &step) && step.Exec:
			err = bundle.ExplainExec(root, process, step.Errno)
		case errors.Is(err, syscall.ESRCH), step == nil && hasEnded(err), initGone(c.Pid()):
			err = notRunning(rec.Name)
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	x.Started(p)
	x.Hub.Start(filesOfProcess(p))
	e.monitors.Go(func() { e.watchExec(x, p, dir) })
	return nil
}

// initGone says whether init has ended: a process that has is without a root.
// (clone(2) into its pid namespace then fails with ENOMEM.)
func initGone(pid int) bool {
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/root", pid))
	return err != nil
}

// execProcess makes the process of an exec the way the container's own was
// made: its environment, limits and capabilities, and the request's changes.
func (e *Engine) execProcess(root *os.File, rec *container.Record, r mcontainer.ExecCreateRequest) (*specs.Process, error) {
	config, host := *rec.Config, *rec.HostConfig
	config.Entrypoint, config.Cmd = []string{""}, r.Cmd
	config.Tty = r.Tty
	config.Env = append(slices.Clone(config.Env), r.Env...)
	if r.User != "" {
		config.User = r.User
	}
	if r.WorkingDir != "" {
		config.WorkingDir = r.WorkingDir
	}
	user, err := bundle.ResolveUser(root, config.User, host.GroupAdd)
	if err != nil {
		return nil, err
	}
	changed := *rec
	changed.Config, changed.HostConfig = &config, &host
	if r.Privileged {
		host.Privileged = true // only its capabilities are taken
	}
	s, err := e.bundles.Spec(&changed, user, bundle.Places{Dry: true})
	if err != nil {
		return nil, err
	}
	return s.Process, nil
}

// watchExec waits for an exec's end. When the daemon ends first the process is
// left alone: its container goes on.
func (e *Engine) watchExec(x *execs.Exec, p *lifecycle.Process, dir string) {
	exit, err := p.Wait(e.watch)
	if e.watch.Err() != nil {
		_ = x.Hub.Drain(0) // nobody listens any more
		x.Hub.End()
		return
	}
	if err != nil {
		e.Log.Error("exit of exec is lost", "exec", x.ID, "error", err)
		exit.Code = 255
	}
	err = errors.Join(x.Hub.Drain(execDrainLimit), p.Release(), os.RemoveAll(dir))
	if err != nil {
		e.Log.Error("clean up after exec", "exec", x.ID, "error", err)
	}
	x.Finish(exit.Code)
	x.Hub.End()
	e.Log.Info("exec ended", "container", x.Container.ID(), "exec", x.ID, "exitCode", exit.Code)
	e.publish(x.Container, events.ActionExecDie, "execID", x.ID, "exitCode", fmt.Sprint(exit.Code))
}

// ExecResize sets the size of an exec's terminal.
func (e *Engine) ExecResize(_ context.Context, id string, height, width uint16) error {
	x, err := e.execs.Get(id)
	if err != nil {
		return err
	}
	p := x.Process()
	if p == nil || !x.Request.Tty {
		return errdefs.ErrConflict.WithMessage("exec " + x.ID[:12] + " has no terminal or does not run")
	}
	return p.Resize(width, height)
}

// ExecInspect tells whether an exec runs and how it ended.
func (e *Engine) ExecInspect(_ context.Context, id string) (mcontainer.ExecInspectResponse, error) {
	x, err := e.execs.Get(id)
	if err != nil {
		return mcontainer.ExecInspectResponse{}, err
	}
	return x.Inspect(), nil
}
