package standalone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"berth/internal/fault"
	"berth/internal/linux"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/intelrdt"
	"berth/ociruntime/state"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Kill signals the container's init, or with all every process in it.
func (r *Runtime) Kill(ctx context.Context, id string, sig syscall.Signal, all bool) (err error) {
	d, err := r.store.Open(id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	rec, spec, err := r.recall(d, notRead)
	if err != nil {
		return err
	}
	if all || sig == syscall.SIGKILL && !hasPidNamespace(spec) {
		return r.killAll(ctx, rec, sig)
	}
	init, _, err := d.OpenInit()
	if errors.Is(err, os.ErrProcessDone) {
		return fault.Errorf(errdefs.ErrFailedPrecondition, "kill container %s: container not running", id)
	}
	if err != nil {
		return err
	}
	defer init.Close()
	if err := linux.PidfdSignal(init, sig); err != nil {
		return fmt.Errorf("kill container %s: %w", id, err)
	}
	return r.thawKilled(ctx, rec, sig)
}

// hasPidNamespace: then all processes end with the init.
func hasPidNamespace(s *specs.Spec) bool {
	if s.Linux == nil {
		return false
	}
	for _, n := range s.Linux.Namespaces {
		if n.Type == specs.PIDNamespace {
			return n.Path == ""
		}
	}
	return false
}

// thawKilled lets a paused container end: in cgroup v1 the frozen do not see a signal.
func (r *Runtime) thawKilled(ctx context.Context, rec state.Record, sig syscall.Signal) error {
	if sig != syscall.SIGKILL {
		return nil
	}
	cg, err := rec.Cgroup.Open()
	if err != nil {
		return err
	}
	if paused, err := cg.Paused(); err != nil || !paused {
		return nil // it is gone already
	}
	return cg.Resume(ctx)
}

// killAll signals every process of the container's cgroup.
func (r *Runtime) killAll(ctx context.Context, rec state.Record, sig syscall.Signal) error {
	cg, err := rec.Cgroup.Open()
	if err != nil {
		return err
	}
	if sig == syscall.SIGKILL {
		return cg.Kill(ctx)
	}
	pids, err := cg.Pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d of container %s: %w", pid, rec.ID, err)
		}
	}
	return nil
}

// Delete removes a stopped container; with force a running one too, and one
// that does not exist is no error.
func (r *Runtime) Delete(ctx context.Context, id string, force bool) (err error) {
	if force {
		if err := r.strike(ctx, id); err != nil {
			return err
		}
	}
	d, err := r.store.Lock(id)
	if force && errors.Is(err, errdefs.ErrNotFound) {
		return r.store.Sweep(id)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	rec, err := d.Record()
	if err != nil && !(force && errors.Is(err, fs.ErrNotExist)) { // a removal that was cut short
		return err
	}
	init, in, err := d.OpenInit()
	switch {
	case err == nil && !force && in.Status != specs.StateCreated && in.Status != specs.StateCreating:
		_ = init.Close() // nothing was written
		return fault.Errorf(errdefs.ErrFailedPrecondition, "delete container %s: it is %s, not stopped: kill it first or use --force", id, in.Status)
	case err == nil:
		err = errors.Join(end(init), init.Close())
	case errors.Is(err, os.ErrProcessDone):
		err = nil
	}
	if err != nil {
		return err
	}
	cg, err := rec.Cgroup.Open()
	if err != nil {
		return err
	}
	var spec *specs.Spec
	if rec.Whole {
		if spec, err = load(d, rec, notRead); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.warn(fmt.Sprintf("delete container %s: no hooks run: %v", rec.ID, err))
		}
	}
	return r.remove(ctx, d, rec, cg, spec)
}

// deleteEnded is Delete for the container that this process has made and whose
// end it has seen: nothing about it needs to be found out. Somebody else may have
// deleted it.
func (r *Runtime) deleteEnded(ctx context.Context, m *making) (err error) {
	d, err := r.store.Lock(m.args.ID)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return r.remove(ctx, d, state.Record{ID: m.args.ID, Bundle: m.args.Bundle}, m.cgroup, m.spec)
}

// remove removes all that is left of a container whose init has ended. Without a
// spec there is nothing but the cgroup and the state.
func (r *Runtime) remove(ctx context.Context, d *state.Dir, rec state.Record, cg *cgroups.Cgroup, spec *specs.Spec) error {
	if err := cg.Destroy(ctx); err != nil {
		return fmt.Errorf("delete container %s: %w", rec.ID, err)
	}
	if spec != nil && spec.Linux != nil && spec.Linux.IntelRdt != nil {
		if err := intelrdt.Delete(spec.Linux.IntelRdt, rec.ID); err != nil {
			return fmt.Errorf("delete container %s: %w", rec.ID, err)
		}
	}
	if err := d.Remove(); err != nil {
		return fmt.Errorf("delete container %s: %w", rec.ID, err)
	}
	r.stoppedHooks(ctx, rec, spec)
	return nil
}

// strike kills a container's init without waiting for a command that holds its
// lock: that one may be waiting for the container.
func (r *Runtime) strike(ctx context.Context, id string) error {
	d, err := r.store.Open(id)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	init, _, err := d.OpenInit()
	if errors.Is(err, os.ErrProcessDone) {
		return d.Close()
	}
	if err == nil {
		_ = linux.PidfdSignal(init, syscall.SIGKILL) // it may have ended
		err = init.Close()
	}
	if rec, rerr := d.Record(); rerr == nil {
		err = errors.Join(err, r.thawKilled(ctx, rec, syscall.SIGKILL))
	}
	return errors.Join(err, d.Close())
}

// end kills a process and waits for its end.
func end(pidfd *os.File) error {
	if err := linux.PidfdSignal(pidfd, syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := pidfd.SetReadDeadline(time.Now().Add(endLimit)); err != nil {
		return err
	}
	err := linux.WaitReadable(pidfd)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("it was killed and has not ended after %v: a process of its pid namespace is not reaped by its parent, or waits for a device", endLimit)
	}
	return err
}

// endLimit bounds the wait for a killed process.
const endLimit = 10 * time.Second
