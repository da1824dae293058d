package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"berth/container"
	"berth/container/stdio"
	"berth/engine/bundle"
	"berth/engine/networks"
	"berth/engine/share"
	"berth/internal/cleanup"
	"berth/internal/linux"
	"berth/network"
	"berth/ociruntime/lifecycle"
	"berth/spec"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Start starts a container; of class NotModified if it runs.
func (e *Engine) Start(ctx context.Context, ref string) error {
	c, unlock, err := e.lock(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	switch c.Status() {
	case container.Running:
		return errdefs.ErrNotModified
	case container.Paused:
		return errdefs.ErrConflict.WithMessage("cannot start a paused container: unpause it instead")
	}
	// A client that goes away must not leave a half-made container.
	return e.start(context.WithoutCancel(ctx), c)
}

// start makes a container run. Call it under the verb lock. A failure is
// recorded, and removes a container that was to be removed at its end.
func (e *Engine) start(ctx context.Context, c *container.Container) error {
	s := &starting{e: e, c: c, live: e.liveOf(c), rec: c.Record(), lent: container.NoSlot}
	err := s.run(ctx)
	if err == nil {
		e.publish(c, events.ActionStart)
		return nil
	}
	s.live.hub.End()
	if s.rec.AutoRemove() {
		return errors.Join(err, e.remove(ctx, c, true))
	}
	return err
}

// starting is one start under way.
type starting struct {
	e    *Engine
	c    *container.Container
	live *live
	rec  container.Record

	runDir string
	rootfs linux.Overlay
	user   spec.User
	mounts []spec.Mount
	spec   *specs.Spec
	proc   *lifecycle.Container
	net    *network.Sandbox // nil: none of its own
	made   *networks.Made   // nil: plugins make no network for it
	shared *share.Joined    // nil: it shares nothing with another container
	lent   int              // the other's id range, or NoSlot
}

// run is the start, one line a step; each step pushes its undo.
func (s *starting) run(ctx context.Context) (err error) {
	var undo cleanup.Stack
	defer s.letGo()
	defer func() {
		undo.Run(&err)
		if err != nil {
			err = s.failed(err)
		}
	}()
	for _, step := range []func(context.Context, *cleanup.Stack) error{
		s.enter,          // container: the status
		s.makeRunDir,     // the intent on disk
		s.prepareRootfs,  // snapshot: image and writable layer
		s.lookInside,     // rootfs: user and working directory
		s.prepareMounts,  // volume: directories to bind
		s.joinContainer,  // share: another container's namespaces
		s.joinNetworks,   // network: addresses, ports, names
		s.joinPlugins,    // network: what CNI plugins make
		s.build,          // spec
		s.launch,         // ociruntime: the container runs from here on
		s.connect,        // stdio: its streams
		s.recordAndWatch, // container: running
	} {
		if err := step(ctx, &undo); err != nil {
			return err
		}
	}
	undo.Release()
	return nil
}

// letGo closes files that the container has by now.
func (s *starting) letGo() {
	if s.shared != nil {
		_ = s.shared.Close() // nothing was written
	}
	if s.made != nil {
		_ = s.made.Close()
	}
}

func (s *starting) enter(context.Context, *cleanup.Stack) error {
	return s.c.Transition(container.Starting, func(st *container.State) {
		if s.rec.State.Status != container.Restarting {
			st.RestartCount = 0 // the user's start begins the count anew
		}
	})
}

// failed records why and puts the status back.
func (s *starting) failed(err error) error {
	code := 125
	var command interface{ ExitCode() int }
	if errors.As(err, &command) {
		code = command.ExitCode()
	}
	back := container.Created
	if !s.rec.State.StartedAt.IsZero() {
		back = container.Exited
	}
	if s.c.Status() != container.Starting {
		return err
	}
	return errors.Join(err, s.c.Fact(back, func(st *container.State) {
		st.Error, st.ExitCode = err.Error(), code
	}))
}

func (s *starting) makeRunDir(ctx context.Context, undo *cleanup.Stack) error {
	s.runDir = s.e.runDir(s.c.ID())
	if err := os.MkdirAll(filepath.Dir(s.runDir), 0o700); err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	err := os.Mkdir(s.runDir, 0o700)
	if errors.Is(err, os.ErrExist) { // the end of the last run could not be cleaned up
		if err = s.e.sweepRun(ctx, s.c.ID()); err == nil {
			err = os.Mkdir(s.runDir, 0o700)
		}
	}
	if err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	undo.Add(func() error { return os.RemoveAll(s.runDir) })
	return nil
}

func (s *starting) prepareRootfs(ctx context.Context, _ *cleanup.Stack) (err error) {
	s.rootfs, err = s.e.Snapshots.Prepare(ctx, s.c.ID(), chainOf(&s.rec))
	return err
}

func (s *starting) lookInside(context.Context, *cleanup.Stack) (err error) {
	s.user, err = s.e.bundles.LookInside(&s.rec, s.rootfs)
	return err
}

// prepareMounts makes sure that everything to be bound exists.
func (s *starting) prepareMounts(ctx context.Context, _ *cleanup.Stack) (err error) {
	s.mounts, err = bundle.Mounts(ctx, &s.rec, s.rootfs, s.e.volumes.Ensure)
	return err
}

func (s *starting) joinNetworks(_ context.Context, undo *cleanup.Stack) (err error) {
	if s.net, err = s.e.Join(&s.rec, s.c.Dir()); s.net != nil {
		undo.Add(func() error { return s.e.Leave(s.c.ID()) })
	}
	return err
}

func (s *starting) joinPlugins(ctx context.Context, undo *cleanup.Stack) (err error) {
	if s.made, err = s.e.JoinPlugins(ctx, &s.rec, s.c.Dir()); s.made != nil {
		undo.Add(func() error { return s.e.Leave(s.c.ID()) })
	}
	return err
}

func (s *starting) build(context.Context, *cleanup.Stack) (err error) {
	p, rec := bundle.Places{Files: bundle.FilesOf(share.NetworkOf(s.c, s.e.records.Get)), Mounts: s.mounts}, &s.rec
	if s.shared != nil {
		p.Namespaces, rec = s.shared.Paths, &s.shared.Record
	}
	if s.made != nil {
		p.Namespaces = merged(s.made.Paths, p.Namespaces)
	}
	if s.spec, err = s.e.bundles.Spec(rec, s.user, p); err != nil {
		return err
	}
	if s.net != nil {
		s.spec.Linux.Sysctl = merged(s.net.Sysctls(), s.spec.Linux.Sysctl)
	}
	return bundle.Save(s.runDir, s.spec)
}

// merged is base with what over says.
func merged[K comparable, V any](base, over map[K]V) map[K]V {
	out := maps.Clone(base)
	if out == nil {
		return over
	}
	maps.Copy(out, over)
	return out
}

func (s *starting) launch(ctx context.Context, undo *cleanup.Stack) (err error) {
	a := lifecycle.Args{
		ID: s.c.ID(), Spec: s.spec, Rootfs: &s.rootfs, RunDir: s.runDir, OpenStdin: s.rec.Config.OpenStdin,
		ConsoleWidth: uint16(s.rec.HostConfig.ConsoleSize[1]), ConsoleHeight: uint16(s.rec.HostConfig.ConsoleSize[0]),
	}
	if s.net != nil {
		a.Pairs = s.net.Pairs()
	}
	if s.shared != nil {
		a.Namespaces, a.Tmpfs = s.shared.Files, s.shared.Shm
	}
	if s.made != nil {
		a.Namespaces = merged(s.made.Files, a.Namespaces)
	}
	s.proc, err = s.e.Runtime.Start(ctx, a)
	if err != nil {
		return s.e.bundles.ExplainStart(s.rootfs, s.spec, err)
	}
	undo.Add(func() error { return s.proc.Delete(ctx) })
	return s.e.Entered(s.c.ID(), s.proc.Pid())
}

func (s *starting) connect(_ context.Context, undo *cleanup.Stack) error {
	if s.live.log != nil {
		s.live.log.Begin()
	}
	s.live.hub.Start(filesOfProcess(s.proc.Process))
	undo.Add(func() error {
		err := s.live.hub.Drain(drainLimit)
		if s.live.log != nil {
			err = errors.Join(err, s.live.log.End())
		}
		return err
	})
	return nil
}

func filesOfProcess(p *lifecycle.Process) stdio.Files {
	f := p.IO()
	return stdio.Files{Console: f.Console, Stdin: f.Stdin, Stdout: f.Stdout, Stderr: f.Stderr}
}

func (s *starting) recordAndWatch(context.Context, *cleanup.Stack) error {
	err := s.c.Transition(container.Running, func(st *container.State) {
		st.Pid, st.StartedAt, st.Error, st.Stopped = s.proc.Pid(), time.Now().UTC(), "", false
	})
	if err != nil {
		return err
	}
	s.live.set(s.proc, s.spec, s.lent)
	s.e.monitor(s.c, s.live, s.proc)
	return nil
}
