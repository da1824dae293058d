package standalone

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"berth/internal/linux"
	"berth/ociruntime/hooks"
	"berth/ociruntime/plan"
	"berth/ociruntime/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// beforeRoot says whether there are hooks that want the init to stand still
// before its root changes.
func beforeRoot(h *specs.Hooks) bool {
	//nolint:staticcheck // prestart is deprecated, and dockerd's network needs it
	return h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0
}

// runHooks waits until the init asks and runs the hooks that come before its
// root changes.
func (m *making) runHooks(ctx context.Context, pid int) error {
	if _, err := m.files.hooks.Read(make([]byte, 1)); err != nil { // EOF: it has failed, and the verdict says at what
		return fmt.Errorf("wait for the moment of the hooks: %w", err)
	}
	h := m.spec.Hooks
	at := moment{spec: m.spec, id: m.args.ID, bundle: m.args.Bundle, status: specs.StateCreating, pid: pid}
	//nolint:staticcheck // as above
	if err := at.prestart(ctx, h.Prestart); err != nil {
		return err
	}
	if err := at.run(ctx, "createRuntime", h.CreateRuntime); err != nil {
		return err
	}
	if err := at.runInside(ctx, "createContainer", h.CreateContainer); err != nil {
		return err
	}
	_, err := m.files.hooks.Write([]byte{1})
	return err
}

// startHooks runs the hooks that come just before the command.
func startHooks(ctx context.Context, rec state.Record, spec *specs.Spec, pid int) error {
	if spec.Hooks == nil {
		return nil
	}
	at := moment{spec: spec, id: rec.ID, bundle: rec.Bundle, status: specs.StateCreated, pid: pid}
	return at.runInside(ctx, "startContainer", spec.Hooks.StartContainer)
}

// startedHooks runs the hooks that come once the command runs.
func startedHooks(ctx context.Context, rec state.Record, spec *specs.Spec, pid int) error {
	if spec.Hooks == nil {
		return nil
	}
	at := moment{spec: spec, id: rec.ID, bundle: rec.Bundle, status: specs.StateRunning, pid: pid}
	return at.run(ctx, "poststart", spec.Hooks.Poststart)
}

// stoppedHooks runs the hooks that come once nothing of the container is left.
// One that fails is warned of.
func (r *Runtime) stoppedHooks(ctx context.Context, rec state.Record, spec *specs.Spec) {
	if spec == nil || spec.Hooks == nil {
		return
	}
	at := moment{spec: spec, id: rec.ID, bundle: rec.Bundle, status: specs.StateStopped}
	for i := range spec.Hooks.Poststop {
		if err := at.runOne(ctx, "poststop", i, spec.Hooks.Poststop[i], hooks.Here); err != nil {
			r.warn(err.Error())
		}
	}
}

func (r *Runtime) warn(text string) {
	if r.Warn != nil {
		r.Warn(text)
	}
}

// moment is a container at a moment that has hooks.
type moment struct {
	spec       *specs.Spec
	id, bundle string
	status     specs.ContainerState
	pid        int
}

// state is what a hook gets to read.
func (m moment) state(pid int) ([]byte, error) {
	return json.Marshal(specs.State{
		Version: m.spec.Version, ID: m.id, Status: m.status, Pid: pid, Bundle: m.bundle, Annotations: m.spec.Annotations,
	})
}

// prestart runs hooks that were defined when they ran after create, and so are
// told "created", as crun does and the validation suite wants it.
func (m moment) prestart(ctx context.Context, list []specs.Hook) error {
	m.status = specs.StateCreated
	return m.run(ctx, "prestart", list)
}

func (m moment) run(ctx context.Context, kind string, list []specs.Hook) error {
	for i, h := range list {
		if err := m.runOne(ctx, kind, i, h, hooks.Here); err != nil {
			return err
		}
	}
	return nil
}

func (m moment) runOne(ctx context.Context, kind string, i int, h specs.Hook, start hooks.Start) error {
	doc, err := m.state(m.pid)
	if err != nil {
		return err
	}
	return hooks.Run(ctx, kind, i, h, doc, start)
}

// runInside runs hooks in the container's namespaces, where the init has the
// pid that they are told.
func (m moment) runInside(ctx context.Context, kind string, list []specs.Hook) error {
	if len(list) == 0 {
		return nil
	}
	inner, err := linux.InnerPid(m.pid)
	if err != nil {
		return fmt.Errorf("run %s hooks: %w", kind, err)
	}
	doc, err := m.state(inner)
	if err != nil {
		return err
	}
	for i, h := range list {
		if err := hooks.Run(ctx, kind, i, h, doc, m.enter); err != nil {
			return err
		}
	}
	return nil
}

// enter starts a hook in the container's namespaces.
func (m moment) enter(h specs.Hook, std [3]*os.File) (*os.Process, error) {
	spec := &specs.Spec{
		Process: &specs.Process{
			Args: hooks.Argv(h), Env: h.Env, Cwd: "/",
		},
		Linux: &specs.Linux{Namespaces: m.spec.Linux.Namespaces, UIDMappings: m.spec.Linux.UIDMappings, GIDMappings: m.spec.Linux.GIDMappings},
	}
	in := plan.Input{Spec: spec, File: h.Path, KeepPrivileges: true, Handover: &plan.Handover{}}
	prog, err := plan.BuildExec(in)
	if err != nil {
		return nil, err
	}
	files := &inherited{list: make([]*os.File, plan.FDFirstJoin)}
	copy(files.list, std[:])
	init, err := linux.PidfdOpen(m.pid)
	if err != nil {
		return nil, err
	}
	files.own(init)
	if err := files.init(init, spec, m.pid); err != nil {
		files.close()
		return nil, err
	}
	pid, err := launch(context.Background(), prog, files, func(int) error { return nil })
	if err != nil {
		files.close()
		return nil, err
	}
	return os.FindProcess(pid)
}
