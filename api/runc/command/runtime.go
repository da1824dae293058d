package command

import (
	"context"
	"syscall"

	"berth/ociruntime/cgroups"
	"berth/ociruntime/standalone"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Runtime is what the commands need of the runtime; standalone.Runtime is it.
type Runtime interface {
	Lifecycle
	Views
	Limits
	Checkpoints
}

// Lifecycle makes, changes and removes containers.
type Lifecycle interface {
	Create(ctx context.Context, a standalone.CreateArgs) error
	Start(ctx context.Context, id string) error
	Run(ctx context.Context, a standalone.CreateArgs) (code int, err error)
	Exec(ctx context.Context, id string, a standalone.ExecArgs) (code int, err error)
	Kill(ctx context.Context, id string, sig syscall.Signal, all bool) error
	Delete(ctx context.Context, id string, force bool) error
	Pause(ctx context.Context, id string) error
	Resume(ctx context.Context, id string) error
}

// Views tell about containers.
type Views interface {
	State(id string) (standalone.State, error)
	List() ([]standalone.State, error)
	Spec(id string) (*specs.Spec, error)
	Pids(id string) ([]int, error)
}

// Limits changes and counts what containers use.
type Limits interface {
	Update(ctx context.Context, id string, res *specs.LinuxResources) error
	Cgroup(id string) (*cgroups.Cgroup, error)
}

// Checkpoints writes containers to disk and back.
type Checkpoints interface {
	Checkpoint(ctx context.Context, id string, a standalone.CheckpointArgs) error
	Restore(ctx context.Context, c standalone.CreateArgs, a standalone.CheckpointArgs) (code int, err error)
}

var _ Runtime = (*standalone.Runtime)(nil)
