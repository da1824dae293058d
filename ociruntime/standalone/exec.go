package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"

	"berth/internal/fault"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/facts"
	"berth/ociruntime/plan"
	"berth/ociruntime/state"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Exec runs a further process in a container. code is as in Run; 0 if detached.
func (r *Runtime) Exec(ctx context.Context, id string, a ExecArgs) (code int, err error) {
	if a.Process == nil {
		return 0, fault.Errorf(errdefs.ErrInvalidArgument, "exec in %s: there is no process: name a command", id)
	}
	d, err := r.store.Open(id)
	if err != nil {
		return 0, err
	}
	f := r.newFilter()
	rec, spec, err := r.recall(d, f.known)
	if err != nil {
		return 0, errors.Join(err, d.Close())
	}
	files := &inherited{}
	defer files.close()
	caught, err := catch(a.Detach)
	if err != nil {
		return 0, errors.Join(err, d.Close())
	}
	pid, err := r.enter(ctx, d, rec, spec, a, f, files)
	if err = errors.Join(err, d.Close()); err != nil {
		return 0, err
	}
	if err := a.publish(pid, "setns"); err != nil {
		return 0, errors.Join(err, reap(pid))
	}
	if a.Detach {
		return 0, nil
	}
	return attend(ctx, caught, pid, files)
}

// recall reads what is written of a container, but a seccomp profile that is known.
func (r *Runtime) recall(d *state.Dir, known func(profile []byte) bool) (rec state.Record, spec *specs.Spec, err error) {
	if rec, err = d.Record(); err != nil {
		return rec, nil, err
	}
	spec, err = load(d, rec, known)
	return rec, spec, err
}

// enter starts the process of an exec.
func (r *Runtime) enter(ctx context.Context, d *state.Dir, rec state.Record, spec *specs.Spec, a ExecArgs, f *filter, files *inherited) (int, error) {
	cg, err := rec.Cgroup.Open()
	if err != nil {
		return 0, err
	}
	pidfd, in, err := d.OpenInit()
	if errors.Is(err, os.ErrProcessDone) || err == nil && in.Status == specs.StateCreating {
		if pidfd != nil {
			_ = pidfd.Close() // nothing was written
		}
		return 0, fault.Errorf(errdefs.ErrFailedPrecondition, "exec in container %s: it is %s, not running", rec.ID, in.Status)
	}
	if err != nil {
		return 0, err
	}
	files.own(pidfd)
	if r.rootless && a.Process.ApparmorProfile+a.Process.SelinuxLabel != "" {
		return 0, fault.Errorf(errdefs.ErrNotImplemented, "exec in container %s: process.apparmorProfile and selinuxLabel need root: leave them out", rec.ID)
	}
	if err := mayEnter(cg, rec.ID, a.IgnorePaused); err != nil {
		return 0, err
	}
	a.Process = facts.ExecProcess(a.Process, spec.Process)
	a.Process.Env = facts.Environment(a.Process.Env, a.Process.User.UID, facts.PasswdIn(fmt.Sprintf("/proc/%d/root", in.Pid)))
	// What an exec has in common with its container, and its own process.
	both := &specs.Spec{Process: a.Process, Linux: &specs.Linux{
		Namespaces: spec.Linux.Namespaces, UIDMappings: spec.Linux.UIDMappings, GIDMappings: spec.Linux.GIDMappings, Seccomp: spec.Linux.Seccomp,
		Personality: spec.Linux.Personality, MemoryPolicy: spec.Linux.MemoryPolicy,
	}}
	input, err := r.input(rec.ID, both, a.ProcessArgs, f)
	if err != nil {
		return 0, err
	}
	doors, err := cg.ExecJoins(a.Cgroup, in.Pid)
	if err != nil {
		return 0, err
	}
	facts.DescribeJoins(cg, doors, &input)
	prog, err := plan.BuildExec(input)
	if err != nil {
		return 0, err
	}
	files.standard(a.Process.Terminal)
	if err := files.console(a.Process.Terminal, a.Detach, a.ConsoleSocket); err != nil {
		return 0, err
	}
	if err := files.seccomp(input, both); err != nil {
		return 0, err
	}
	joins, err := cg.OpenJoins(doors)
	if err != nil {
		return 0, err
	}
	files.add(joins)
	if err := files.init(pidfd, both, in.Pid); err != nil {
		return 0, err
	}
	if err := files.preserve(a.PreserveFDs); err != nil {
		return 0, err
	}
	pid, err := launch(ctx, prog, files, func(pid int) error {
		return files.listener(pid, both, specs.State{
			Version: spec.Version, ID: rec.ID, Status: specs.StateRunning, Pid: in.Pid, Bundle: rec.Bundle, Annotations: spec.Annotations,
		})
	})
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", rec.ID, explain(err, a.Process.Args[0]))
	}
	return pid, nil
}

// mayEnter refuses a paused container: what runs there would stand still too.
func mayEnter(cg *cgroups.Cgroup, id string, ignore bool) error {
	if ignore {
		return nil
	}
	paused, err := cg.Paused()
	if err != nil || !paused {
		return err
	}
	return fault.Errorf(errdefs.ErrFailedPrecondition, "exec in container %s: it is paused: resume it first", id)
}
