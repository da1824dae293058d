package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"

	"berth/internal/fault"
	"berth/ociruntime/bundle"
	"berth/ociruntime/program"
	"berth/ociruntime/sdnotify"
	"berth/ociruntime/state"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Start runs the command of a created container. If the caller is a service that
// tells when it is ready, it returns when the container is, or has ended.
func (r *Runtime) Start(ctx context.Context, id string) error {
	pid, notify, err := r.start(ctx, id)
	if err != nil {
		return err
	}
	return r.awaitReady(notify, pid)
}

func (r *Runtime) start(ctx context.Context, id string) (pid int, notify *sdnotify.Socket, err error) {
	d, err := r.store.Lock(id)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	in, err := d.Init()
	if err != nil {
		return 0, nil, err
	}
	if in.Status != specs.StateCreated {
		return 0, nil, fault.Errorf(errdefs.ErrFailedPrecondition, "start container %s: it is %s, not created", id, in.Status)
	}
	rec, err := d.Record()
	if err != nil {
		return 0, nil, err
	}
	spec := &specs.Spec{}
	if rec.Whole {
		if spec, err = load(d, rec, notRead); err != nil {
			return 0, nil, err
		}
	}
	if r.NotifySocket != "" {
		if notify, err = sdnotify.Listen(d.Path(), r.NotifySocket); err != nil {
			return 0, nil, err
		}
	}
	if err = run(ctx, d, rec, spec, in.Pid); err != nil && notify != nil {
		err = errors.Join(err, notify.Close())
	}
	return in.Pid, notify, err
}

// run lets a waiting init go on. A hook that fails ends the container.
func run(ctx context.Context, d *state.Dir, rec state.Record, spec *specs.Spec, pid int) error {
	if err := startHooks(ctx, rec, spec, pid); err != nil {
		return errors.Join(err, endInit(d))
	}
	verdict, err := d.Start()
	if err != nil {
		return fmt.Errorf("start container %s: %w", rec.ID, err)
	}
	err = explain(program.LaterVerdict(verdict, rec.Later), rec.Command)
	if err = errors.Join(err, verdict.Close()); err != nil {
		// Its last act was to say why. Who called looks at it next: containerd
		// deletes only a task that it has seen end.
		return errors.Join(err, endInit(d))
	}
	if err := startedHooks(ctx, rec, spec, pid); err != nil {
		return errors.Join(err, endInit(d))
	}
	return nil
}

// endInit kills a container's init and waits for its end.
func endInit(d *state.Dir) error {
	init, _, err := d.OpenInit()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(end(init), init.Close())
}

// load reads what a container was made from.
func load(d *state.Dir, rec state.Record, known func(profile []byte) bool) (*specs.Spec, error) {
	config, err := d.Config()
	if err != nil {
		return nil, err
	}
	b, err := bundle.ParseKnowing(config, rec.Bundle, known)
	if err != nil {
		return nil, err
	}
	return b.Spec, nil
}

// Spec is what a container was made from; errdefs.ErrNotFound if there is none.
func (r *Runtime) Spec(id string) (_ *specs.Spec, err error) {
	d, err := r.store.Open(id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	_, spec, err := r.recall(d, nil)
	return spec, err
}
