package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/container"
	"berth/container/stdio"
	"berth/ociruntime/lifecycle"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// maxExecs bounds the records of execs of one container that are kept.
	maxExecs = 1000
	// keepExec is how long an exec that has ended can be inspected.
	keepExec = 5 * time.Minute
	// execDrainLimit is how long output is waited for after an exec's process
	// has ended: what it started may hold the pipe open for ever.
	execDrainLimit = 250 * time.Millisecond
)

// exec is a further process of a container. It is only in memory: it cannot
// outlive the daemon's knowledge of who asked for it.
type exec struct {
	id  string
	c   *container.Container
	req mcontainer.ExecCreateRequest
	hub *stdio.Hub

	mu    sync.Mutex
	begun bool               // guarded by mu
	proc  *lifecycle.Process // guarded by mu; nil before the start and after the end
	pid   int                // guarded by mu
	code  *int               // guarded by mu; set at the end
	ended time.Time          // guarded by mu
}

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
		return "", errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is paused: unpause it first", rec.Name))
	case len(r.Cmd) == 0:
		return "", invalid("no exec command specified")
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	x := &exec{id: hex.EncodeToString(b[:]), c: c, req: r, hub: stdio.New(stdio.Options{StdinOnce: true})}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sweepExecsLocked(time.Now())
	n := 0
	for _, other := range e.execs {
		if other.c == c {
			n++
		}
	}
	if n >= maxExecs {
		return "", errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("container %s has %d execs: wait until some have ended", rec.Name, n))
	}
	e.execs[x.id] = x
	e.publish(c, events.Action(string(events.ActionExecCreate)+": "+strings.Join(r.Cmd, " ")), "execID", x.id)
	return x.id, nil
}

// sweepExecsLocked forgets execs that have ended some time ago.
func (e *Engine) sweepExecsLocked(now time.Time) {
	for id, x := range e.execs {
		x.mu.Lock()
		old := x.code != nil && now.Sub(x.ended) > keepExec
		x.mu.Unlock()
		if old {
			delete(e.execs, id)
		}
	}
}

func (e *Engine) exec(id string) (*exec, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.execs[id]; x != nil {
		return x, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such exec instance: " + clip(id))
}

// execsOf lists the execs of a container that run.
func (e *Engine) execsOf(id string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for _, x := range e.execs {
		if x.c.ID() == id && x.running() != nil {
			ids = append(ids, x.id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (x *exec) running() *lifecycle.Process {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.proc
}

// ExecAttach registers a client before the process starts, so that no output is
// lost.
func (e *Engine) ExecAttach(_ context.Context, id string, _ mcontainer.ExecStartRequest) (*Session, error) {
	x, err := e.exec(id)
	if err != nil {
		return nil, err
	}
	if err := x.notBegun(); err != nil {
		return nil, err
	}
	return &Session{
		TTY: x.req.Tty, Stdin: x.req.AttachStdin, stream: true,
		client: x.hub.Attach(x.req.AttachStdout, x.req.AttachStderr),
	}, nil
}

func (x *exec) notBegun() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.begun {
		return errdefs.ErrConflict.WithMessage("exec " + x.id[:12] + " has already run")
	}
	return nil
}

// ExecStart starts the process. Who entered which container, as whom and to do
// what is written to the daemon's log.
func (e *Engine) ExecStart(ctx context.Context, id string, r mcontainer.ExecStartRequest) error {
	x, err := e.exec(id)
	if err != nil {
		return err
	}
	x.mu.Lock()
	again := x.begun
	x.begun = true
	x.mu.Unlock()
	if again {
		return errdefs.ErrConflict.WithMessage("exec " + x.id[:12] + " has already run")
	}
	rec := x.c.Record()
	e.Log.Info("exec", "container", rec.ID, "name", rec.Name, "exec", x.id, "user", x.req.User,
		"privileged", x.req.Privileged, "tty", x.req.Tty, "cmd", x.req.Cmd)
	err = e.startExec(ctx, x, &rec, r)
	if err == nil {
		e.publish(x.c, events.Action(string(events.ActionExecStart)+": "+strings.Join(x.req.Cmd, " ")), "execID", x.id)
		return nil
	}
	code := 126
	var command interface{ ExitCode() int }
	if errors.As(err, &command) {
		code = command.ExitCode()
	}
	x.finish(code)
	x.hub.End()
	e.Log.Info("exec did not start", "exec", x.id, "exitCode", code, "error", err)
	return err
}

func (x *exec) finish(code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.proc, x.code, x.ended = nil, &code, time.Now()
}

func (e *Engine) startExec(ctx context.Context, x *exec, rec *container.Record, r mcontainer.ExecStartRequest) error {
	l := e.liveOf(x.c)
	c, err := l.running(rec.Name)
	if err != nil {
		return err
	}
	// The root as the container sees it now; everything in it is opened through this file.
	root, err := os.Open(fmt.Sprintf("/proc/%d/root", c.Pid()))
	if err != nil {
		return fmt.Errorf("open the root of container %s: %w", rec.Name, err)
	}
	defer root.Close()
	process, err := e.execProcess(root, rec, x.req)
	if err != nil {
		return err
	}
	dir := filepath.Join(e.runDir(rec.ID), "exec-"+x.id[:16])
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	a := lifecycle.ExecArgs{ID: x.id[:16], RunDir: dir, Process: process, OpenStdin: x.req.AttachStdin}
	if size := consoleSize(r.ConsoleSize, x.req.ConsoleSize); size != nil {
		a.ConsoleHeight, a.ConsoleWidth = uint16(size[0]), uint16(size[1])
	}
	p, err := c.Exec(ctx, a)
	if err != nil {
		var step *lifecycle.StepError
		if errors.As(err, &step) && step.Exec {
			err = explainExec(root, process, step.Errno)
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	x.mu.Lock()
	x.proc, x.pid = p, p.Pid()
	x.mu.Unlock()
	x.hub.Start(filesOfProcess(p))
	e.monitors.Go(func() { e.watchExec(x, p, dir) })
	return nil
}

func consoleSize(sizes ...*[2]uint) *[2]uint {
	for _, s := range sizes {
		if s != nil && s[0] > 0 && s[0] < 1<<16 && s[1] > 0 && s[1] < 1<<16 {
			return s
		}
	}
	return nil
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
	user, err := resolveUser(root, config.User, host.GroupAdd)
	if err != nil {
		return nil, err
	}
	changed := *rec
	changed.Config, changed.HostConfig = &config, &host
	if r.Privileged {
		host.Privileged = true // only its capabilities are taken
	}
	s, err := e.buildSpec(&changed, user, buildPlaces{dry: true})
	if err != nil {
		return nil, err
	}
	return s.Process, nil
}

// watchExec waits for an exec's end. When the daemon ends first the process is
// left alone: its container goes on.
func (e *Engine) watchExec(x *exec, p *lifecycle.Process, dir string) {
	exit, err := p.Wait(e.watch)
	if e.watch.Err() != nil {
		_ = x.hub.Drain(0) // nobody listens any more
		x.hub.End()
		return
	}
	if err != nil {
		e.Log.Error("exit of exec is lost", "exec", x.id, "error", err)
		exit.Code = 255
	}
	err = errors.Join(x.hub.Drain(execDrainLimit), p.Release(), os.RemoveAll(dir))
	if err != nil {
		e.Log.Error("clean up after exec", "exec", x.id, "error", err)
	}
	x.finish(exit.Code)
	x.hub.End()
	e.Log.Info("exec ended", "container", x.c.ID(), "exec", x.id, "exitCode", exit.Code)
	e.publish(x.c, events.ActionExecDie, "execID", x.id, "exitCode", fmt.Sprint(exit.Code))
}

// endExecs forgets the execs of a container that never started; those that run
// end with the container and are watched.
func (e *Engine) endExecs(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for xid, x := range e.execs {
		if x.c.ID() == id && x.notBegun() == nil {
			x.hub.End()
			delete(e.execs, xid)
		}
	}
}

// ExecResize sets the size of an exec's terminal.
func (e *Engine) ExecResize(_ context.Context, id string, height, width uint16) error {
	x, err := e.exec(id)
	if err != nil {
		return err
	}
	p := x.running()
	if p == nil || !x.req.Tty {
		return errdefs.ErrConflict.WithMessage("exec " + x.id[:12] + " has no terminal or does not run")
	}
	return p.Resize(width, height)
}

// ExecInspect tells whether an exec runs and how it ended.
func (e *Engine) ExecInspect(_ context.Context, id string) (mcontainer.ExecInspectResponse, error) {
	x, err := e.exec(id)
	if err != nil {
		return mcontainer.ExecInspectResponse{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return mcontainer.ExecInspectResponse{
		ID: x.id, Running: x.proc != nil, ExitCode: x.code, Pid: x.pid, ContainerID: x.c.ID(),
		OpenStdin: x.req.AttachStdin, OpenStdout: x.req.AttachStdout, OpenStderr: x.req.AttachStderr,
		CanRemove: x.code != nil,
		ProcessConfig: &mcontainer.ExecProcessConfig{
			Tty: x.req.Tty, Entrypoint: x.req.Cmd[0], Arguments: x.req.Cmd[1:], Privileged: &x.req.Privileged, User: x.req.User,
		},
	}, nil
}
