package standalone

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"berth/internal/fault"
	"berth/internal/linux"
	"berth/ociruntime/checkpoint"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// CheckpointArgs say how to write a container's processes to disk.
type CheckpointArgs = checkpoint.Args

// Checkpoint writes the container's processes to disk, with CRIU, and removes
// the container unless it runs on.
func (r *Runtime) Checkpoint(ctx context.Context, id string, a CheckpointArgs) (err error) {
	d, err := r.store.Lock(id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	rec, spec, err := r.recall(d, notRead)
	if err != nil {
		return err
	}
	in, err := d.Init()
	if err != nil {
		return err
	}
	if in.Status != specs.StateRunning {
		return fault.Errorf(errdefs.ErrFailedPrecondition, "checkpoint container %s: it is %s, not running", id, in.Status)
	}
	if err := checkpoint.Check(spec); err != nil {
		return fmt.Errorf("checkpoint container %s: %w", id, err)
	}
	if err := checkpoint.Dump(ctx, in.Pid, rec.Cgroup.Path, spec, a); err != nil {
		return fmt.Errorf("checkpoint container %s: %w", id, err)
	}
	if a.LeaveRunning || a.PreDump {
		return nil
	}
	cg, err := rec.Cgroup.Open()
	if err != nil {
		return err
	}
	return r.remove(ctx, d, rec, cg, spec)
}

// Restore makes a container whose processes come from a checkpoint. The bundle
// is checked as a new one's.
func (r *Runtime) Restore(ctx context.Context, c CreateArgs, a CheckpointArgs) (code int, err error) {
	m := &making{runtime: r, args: c, leave: c.Detach}
	caught, err := catch(c.Detach)
	if err != nil {
		return 0, err
	}
	if err = m.restore(ctx, a); err != nil {
		return 0, err
	}
	if err := m.dir.Close(); err != nil || c.Detach {
		return 0, err
	}
	code, err = attend(ctx, caught, m.pid, &m.files)
	if c.Keep {
		return code, err
	}
	return code, errors.Join(err, r.Delete(context.WithoutCancel(ctx), c.ID, true))
}

func (m *making) restore(ctx context.Context, a CheckpointArgs) (err error) {
	defer m.undo.Run(&err)
	if err := m.runtime.store.Free(m.args.ID); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		m.read, func(context.Context) error { return checkpoint.Check(m.spec) }, m.plan(false),
		func(context.Context) error { return checkpoint.CheckPlace(m.cgroup.Path(), a) }, m.intend, m.limit,
		func(ctx context.Context) error { return m.revive(ctx, a) },
	} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("restore container %s: %w", m.args.ID, err)
		}
	}
	m.undo.Release()
	return nil
}

// revive starts the processes, with the root as a mount point that only CRIU sees.
func (m *making) revive(ctx context.Context, a CheckpointArgs) error {
	root := m.spec.Root.Path
	mounts, err := linux.NewMountThread(func() error { return linux.BindMount(root, root) })
	if err != nil {
		return fmt.Errorf("make a mount of the root: %w", err)
	}
	defer mounts.Close()
	m.pid, err = checkpoint.Restore(ctx, root, m.spec, a, func(cmd *exec.Cmd) (err error) {
		mounts.Do(func() { err = cmd.Start() })
		return err
	})
	if err != nil {
		return err
	}
	m.undo.Add(func() error {
		_ = syscall.Kill(m.pid, syscall.SIGKILL) // our child, which nobody has reaped
		_, err := linux.WaitChild(m.pid)
		return err
	})
	if err := m.dir.Restored(m.pid); err != nil {
		return err
	}
	return m.args.publish(m.pid, "standard")
}
