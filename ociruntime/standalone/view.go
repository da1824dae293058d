package standalone

import (
	"context"
	"errors"
	"os/user"
	"strconv"

	"berth/internal/fault"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/state"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// State describes a container; errdefs.ErrNotFound if there is none.
func (r *Runtime) State(id string) (s State, err error) {
	d, err := r.store.Open(id)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	rec, spec, err := r.recall(d, notRead)
	if err != nil {
		return s, err
	}
	in, err := d.Init()
	if err != nil {
		return s, err
	}
	s = State{
		State:   specs.State{Version: spec.Version, ID: rec.ID, Status: in.Status, Pid: in.Pid, Bundle: rec.Bundle, Annotations: spec.Annotations},
		Rootfs:  spec.Root.Path,
		Created: rec.Created, Owner: owner(rec.Owner),
	}
	if s.Status == specs.StateRunning {
		if cg, err := rec.Cgroup.Open(); err == nil {
			if paused, err := cg.Paused(); err == nil && paused {
				s.Status = statePaused
			}
		}
	}
	return s, nil
}

// statePaused is runc's word; the OCI runtime spec has none for it.
const statePaused specs.ContainerState = "paused"

// List describes all containers, sorted by id. One that goes meanwhile is left out.
func (r *Runtime) List() ([]State, error) {
	ids, err := r.store.List()
	if err != nil {
		return nil, err
	}
	var all []State
	for _, id := range ids {
		s, err := r.State(id)
		if errors.Is(err, errdefs.ErrNotFound) {
			continue
		}
		if err != nil {
			r.warn(err.Error())
			continue
		}
		all = append(all, s)
	}
	return all, nil
}

// Cgroup is the container's control group.
func (r *Runtime) Cgroup(id string) (_ *cgroups.Cgroup, err error) {
	d, err := r.store.Open(id)
	if err != nil {
		return nil, err
	}
	rec, err := d.Record()
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	return rec.Cgroup.Open()
}

// Pids lists the processes in a container, by their ids on the host.
func (r *Runtime) Pids(id string) ([]int, error) {
	cg, err := r.Cgroup(id)
	if err != nil {
		return nil, err
	}
	return cg.Pids()
}

// Pause freezes every process of a container.
func (r *Runtime) Pause(ctx context.Context, id string) error {
	return r.change(id, func(rec state.Record, cg *cgroups.Cgroup, in state.Init) error {
		if in.Status != specs.StateRunning && in.Status != specs.StateCreated {
			return fault.Errorf(errdefs.ErrFailedPrecondition, "pause container %s: it is %s, not running", id, in.Status)
		}
		return cg.Pause(ctx)
	})
}

// Resume undoes Pause.
func (r *Runtime) Resume(ctx context.Context, id string) error {
	return r.change(id, func(rec state.Record, cg *cgroups.Cgroup, in state.Init) error {
		paused, err := cg.Paused()
		if err != nil {
			return err
		}
		if !paused {
			return fault.Errorf(errdefs.ErrFailedPrecondition, "resume container %s: it is not paused", id)
		}
		return cg.Resume(ctx)
	})
}

// Update changes the limits that are set in res.
func (r *Runtime) Update(ctx context.Context, id string, res *specs.LinuxResources) error {
	return r.change(id, func(rec state.Record, cg *cgroups.Cgroup, in state.Init) error {
		if in.Pid == 0 {
			return fault.Errorf(errdefs.ErrFailedPrecondition, "update container %s: it is stopped", id)
		}
		return cg.Update(ctx, res)
	})
}

// change does something to a container while no other command does.
func (r *Runtime) change(id string, do func(state.Record, *cgroups.Cgroup, state.Init) error) (err error) {
	d, err := r.store.Lock(id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	rec, err := d.Record()
	if err != nil {
		return err
	}
	cg, err := rec.Cgroup.Open()
	if err != nil {
		return err
	}
	in, err := d.Init()
	if err != nil {
		return err
	}
	return do(rec, cg, in)
}

// owner is a user's name, or number if it has none.
func owner(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
