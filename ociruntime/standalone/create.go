package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"berth/internal/cleanup"
	"berth/internal/linux"
	"berth/ociruntime/bundle"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/facts"
	"berth/ociruntime/intelrdt"
	"berth/ociruntime/plan"
	"berth/ociruntime/program"
	"berth/ociruntime/sdnotify"
	"berth/ociruntime/state"
	"berth/ociruntime/userns"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// making is a container on its way.
type making struct {
	runtime *Runtime
	args    CreateArgs
	leave   bool // this process will not wait for the container's
	spec    *specs.Spec
	filter  *filter
	config  []byte
	in      plan.Input
	prog    *program.Program
	cgroup  *cgroups.Cgroup
	group   *intelrdt.Group // nil if the spec asks for none
	dir     *state.Dir
	files   inherited
	pid     int
	notify  *sdnotify.Socket // nil unless this process passes on what the container says
	undo    cleanup.Stack
}

// Create makes a container and leaves it waiting for Start.
func (r *Runtime) Create(ctx context.Context, a CreateArgs) error {
	m, err := r.make(ctx, a, true)
	if err != nil {
		return err
	}
	m.files.close()
	return m.dir.Close()
}

// make makes a container as far as it goes before its start: to the wait, or to
// the execve of the command. Its directory comes back locked.
func (r *Runtime) make(ctx context.Context, a CreateArgs, wait bool) (_ *making, err error) {
	m := &making{runtime: r, args: a, leave: wait || a.Detach}
	defer m.undo.Run(&err)
	if err := r.store.Free(a.ID); err != nil {
		return nil, err // here, because a cgroup of its name has less to say
	}
	for _, step := range []func(context.Context) error{
		m.read, m.plan(wait), m.intend, m.listen(wait), m.limit, m.share, m.open, m.launch, m.finish,
	} {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("create %s: %w", a.ID, context.Cause(ctx))
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	m.undo.Release()
	return m, nil
}

// read reads the bundle.
func (m *making) read(context.Context) error {
	m.filter = m.runtime.newFilter()
	b, err := bundle.LoadKnowing(m.args.Bundle, m.filter.known)
	if err != nil {
		return err
	}
	m.args.Bundle, m.spec, m.config = b.Dir, b.Spec, b.Config
	if n := m.args.ListenFDs; n > 0 {
		p := m.spec.Process
		p.Env = append(p.Env, fmt.Sprintf("LISTEN_FDS=%d", n), "LISTEN_PID=1")
		m.args.PreserveFDs += n
	}
	for _, w := range append(b.Warnings, facts.Unlabel(m.spec)...) {
		m.runtime.warn(w)
	}
	return nil
}

// plan compiles the bundle. Nothing is made yet.
func (m *making) plan(wait bool) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		s, in := m.spec, &m.in
		s.Process.Env = facts.Environment(s.Process.Env, s.Process.User.UID, func(flags int) (*os.File, error) {
			return facts.OpenOrigin(s, s.Mounts, "/etc/passwd", flags)
		})
		if m.in, err = m.runtime.input(m.args.ID, s, m.args.ProcessArgs, m.filter); err != nil {
			return err
		}
		in.Handover.Wait = wait || s.Hooks != nil && len(s.Hooks.StartContainer) > 0 || s.Linux != nil && s.Linux.IntelRdt != nil
		in.Handover.Hooks, in.Handover.NoPivot = beforeRoot(s.Hooks), m.args.NoPivot
		if in.NotDir, err = facts.Sources(s); err != nil {
			return err
		}
		if m.runtime.NotifySocket != "" {
			sdnotify.Prepare(s, m.runtime.store.Path(m.args.ID))
		}
		if in.NetDevices, err = facts.NetDevices(s); err != nil {
			return err
		}
		if m.cgroup, err = cgroups.Place(ctx, cgroups.ArgsOf(m.args.ID, s, m.runtime.SystemdCgroup)); err != nil {
			return err
		}
		facts.DescribeJoins(m.cgroup, m.cgroup.Joins(), in)
		m.prog, err = plan.Build(*in)
		return err
	}
}

// input is what a container's plan and an exec's have in common.
func (r *Runtime) input(id string, s *specs.Spec, a ProcessArgs, f *filter) (in plan.Input, err error) {
	in = plan.Input{Spec: s, Handover: &plan.Handover{Preserve: a.PreserveFDs}, Rootless: r.rootless, BindDevices: r.rootless || linux.InUserNamespace()}
	if !a.NoNewKeyring {
		in.Keyring = "_ses." + id
	}
	if size := s.Process.ConsoleSize; size != nil {
		in.Width, in.Height = uint16(size.Width), uint16(size.Height)
	}
	if in.LastCap, err = linux.LastCap(); err != nil {
		return in, err
	}
	if in.Available, err = linux.PermittedCaps(); err != nil {
		return in, err
	}
	compiled, err := f.compile(s.Linux)
	in.Filter, in.FilterFlags = compiled.Bytes(), uint64(compiled.Flags)
	return in, err
}

// intend writes down what will be made, before it is.
func (m *making) intend(ctx context.Context) (err error) {
	m.dir, err = m.runtime.store.Create(state.Record{
		ID: m.args.ID, Bundle: m.args.Bundle, Created: time.Now().UTC(), Owner: os.Getuid(),
		Cgroup: m.cgroup.Record(), Command: m.spec.Process.Args[0],
		Whole: m.spec.Hooks != nil || m.spec.Linux != nil && m.spec.Linux.IntelRdt != nil, Later: m.prog.Later(),
	}, m.config, m.in.Handover.Wait)
	if err != nil {
		return err
	}
	m.undo.Add(func() error {
		err := errors.Join(m.dir.Remove(), m.dir.Close())
		if m.pid != 0 { // hooks may have run (runtime.md, "Lifecycle", 3 to 5 and 13)
			m.runtime.stoppedHooks(context.WithoutCancel(ctx), state.Record{ID: m.args.ID, Bundle: m.args.Bundle}, m.spec)
		}
		return err
	})
	return nil
}

// listen makes the place where the container's process says that it is ready, and
// unless that is Start's work listens there.
func (m *making) listen(wait bool) func(context.Context) error {
	return func(context.Context) (err error) {
		if m.runtime.NotifySocket == "" {
			return nil
		}
		if err := sdnotify.MakeDir(m.dir.Path()); err != nil || wait {
			return err
		}
		if m.notify, err = sdnotify.Listen(m.dir.Path(), m.runtime.NotifySocket); err == nil {
			m.undo.Add(m.notify.Close)
		}
		return err
	}
}

// limit makes the cgroup.
func (m *making) limit(ctx context.Context) error {
	if err := m.cgroup.Make(ctx); err != nil {
		return err
	}
	m.undo.Add(func() error {
		late := context.WithoutCancel(ctx)
		return errors.Join(m.cgroup.Kill(late), m.cgroup.Abandon(late))
	})
	return nil
}

// share makes the container's shares of caches and memory bandwidth.
func (m *making) share(context.Context) (err error) {
	if m.spec.Linux == nil || m.spec.Linux.IntelRdt == nil {
		return nil
	}
	if m.group, err = intelrdt.Create(m.spec.Linux.IntelRdt, m.args.ID); err != nil {
		return err
	}
	m.undo.Add(func() error { return intelrdt.Delete(m.spec.Linux.IntelRdt, m.args.ID) })
	return nil
}

// open opens the files that the builder and the init start with.
func (m *making) open(ctx context.Context) (err error) {
	f := &m.files
	m.undo.Add(func() error { f.close(); return nil })
	f.standard(m.spec.Process.Terminal)
	f.list[plan.FDRunDir] = m.dir.File()
	if m.in.Handover.Wait {
		start, started, err := m.dir.Fifos()
		if err != nil {
			return err
		}
		f.list[plan.FDStart], f.list[plan.FDStarted] = f.own(start), f.own(started)
	}
	if err := f.console(m.spec.Process.Terminal, m.leave, m.args.ConsoleSocket); err != nil {
		return err
	}
	if m.in.Handover.Hooks || m.in.Rootless {
		ours, theirs, err := linux.Socketpair()
		if err != nil {
			return err
		}
		f.hooks, f.list[plan.FDHooks] = ours, f.own(theirs)
	}
	if err := f.seccomp(m.in, m.spec); err != nil {
		return err
	}
	joins, err := m.cgroup.OpenJoins(m.cgroup.Joins())
	if err != nil {
		return err
	}
	f.add(joins)
	joined, err := facts.OpenNamespaces(m.spec)
	if err != nil {
		return err
	}
	f.add(joined)
	filled, err := facts.OpenCopyUps(ctx, m.spec)
	if err != nil {
		return err
	}
	f.add(filled)
	return f.preserve(m.args.PreserveFDs)
}

// launch starts the builder and waits until the init has come as far as it goes.
func (m *making) launch(ctx context.Context) (err error) {
	m.pid, err = launch(ctx, m.prog, &m.files, func(pid int) error {
		if m.group != nil {
			if err := m.group.Join(pid); err != nil {
				return err
			}
		}
		if m.in.Rootless {
			if err := m.mapIDs(pid); err != nil {
				return err
			}
		}
		if m.in.Handover.Hooks {
			if err := m.runHooks(ctx, pid); err != nil {
				return err
			}
		}
		return m.files.listener(pid, m.spec, specs.State{
			Version: m.spec.Version, ID: m.args.ID, Status: specs.StateCreating, Pid: pid, Bundle: m.args.Bundle, Annotations: m.spec.Annotations,
		})
	})
	if err != nil {
		return explain(err, m.spec.Process.Args[0])
	}
	m.undo.Add(func() error { return reap(m.pid) }) // there may be no cgroup to kill it by
	return m.cgroup.Entered()
}

// mapIDs gives a rootless init its ids, and lets it go on.
func (m *making) mapIDs(pid int) error {
	if err := userns.Map(pid, m.spec.Linux.UIDMappings, m.spec.Linux.GIDMappings); err != nil {
		return err
	}
	_, err := m.files.hooks.Write([]byte{1})
	return err
}

// finish publishes the pid.
func (m *making) finish(context.Context) error {
	if m.in.Handover.Wait {
		if err := m.dir.Finished(); err != nil {
			return err
		}
	}
	return m.args.publish(m.pid, "standard")
}
