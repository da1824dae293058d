// Package standalone makes and runs containers that no daemon owns: what the
// runc command line asks for. A container is a directory of the state room; its
// init is handed over to whoever called, or to that one's reaper.
//
// Level: R.
// Owns: the order of create, start, exec, kill and delete of such containers.
// May import: ociruntime subrooms, internal/linux, internal/cleanup, internal/atomicfile.
// Must not know: command lines, images, the Docker API, the engine.
package standalone

import (
	"context"
	"errors"
	"syscall"
	"time"

	"berth/ociruntime/cgroups"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Options say where and how a Runtime works.
type Options struct {
	// Root is the directory of all containers' states, such as /run/berth-oci.
	Root string
	// SystemdCgroup: linux.cgroupsPath is "slice:prefix:name" and systemd makes the cgroup.
	SystemdCgroup bool
}

// Runtime runs the commands. It is safe for concurrent use, by several
// processes too.
type Runtime struct {
	Options
}

// Open returns the runtime of a state directory, which need not exist yet.
func Open(o Options) (*Runtime, error) { return &Runtime{o}, nil }

// ProcessArgs are what a container's first process and an exec have in common.
type ProcessArgs struct {
	// PidFile, if set, gets the pid of the process, in one rename.
	PidFile string
	// ConsoleSocket, if set, is a unix socket that gets the terminal's master.
	ConsoleSocket string
	// PreserveFDs: descriptors 3 to 3+PreserveFDs-1 of this process are the new one's too.
	PreserveFDs int
	// Detach: do not wait for the process.
	Detach bool
	// NoNewKeyring leaves the process the session keyring of the caller.
	NoNewKeyring bool
}

// CreateArgs say what to make.
type CreateArgs struct {
	ProcessArgs
	// ID names the container.
	ID string
	// Bundle is the directory of config.json.
	Bundle string
	// NoPivot: for a root on the initramfs, where pivot_root(2) does not work.
	NoPivot bool
	// Keep: Run leaves the stopped container's state.
	Keep bool
}

// ExecArgs say what to run in a container.
type ExecArgs struct {
	ProcessArgs
	// Process says what to run.
	Process *specs.Process
	// Cgroup is the cgroup to run in, below the container's: "path", or "controller[,controller]:path" (v1).
	Cgroup []string
	// IgnorePaused: exec in a paused container too; it will wait.
	IgnorePaused bool
}

// State is the document that the command state prints: the OCI runtime spec's,
// with what runc adds.
type State struct {
	specs.State
	Rootfs  string    `json:"rootfs"`
	Created time.Time `json:"created"`
	Owner   string    `json:"owner"`
}

var errNotYet = errors.New("not there yet")

// Create makes a container and leaves it waiting for Start.
func (r *Runtime) Create(ctx context.Context, a CreateArgs) error { return errNotYet }

// Start runs the command of a created container.
func (r *Runtime) Start(ctx context.Context, id string) error { return errNotYet }

// Run is Create and Start, and unless detached also the wait for the end, with
// signals forwarded, and Delete. code is what the command exited with, 128+n for signal n.
func (r *Runtime) Run(ctx context.Context, a CreateArgs) (code int, err error) { return 0, errNotYet }

// Exec runs a further process in a container. code is as in Run; 0 if detached.
func (r *Runtime) Exec(ctx context.Context, id string, a ExecArgs) (code int, err error) {
	return 0, errNotYet
}

// State describes a container; errdefs.ErrNotFound if there is none.
func (r *Runtime) State(id string) (State, error) { return State{}, errNotYet }

// Spec is what a container was made from; errdefs.ErrNotFound if there is none.
func (r *Runtime) Spec(id string) (*specs.Spec, error) { return nil, errNotYet }

// List describes all containers, sorted by id.
func (r *Runtime) List() ([]State, error) { return nil, errNotYet }

// Kill signals the container's init, or with all every process in it.
func (r *Runtime) Kill(ctx context.Context, id string, sig syscall.Signal, all bool) error {
	return errNotYet
}

// Delete removes a stopped container; with force a running one too, and one
// that does not exist is no error.
func (r *Runtime) Delete(ctx context.Context, id string, force bool) error { return errNotYet }

// Pause freezes every process of a container.
func (r *Runtime) Pause(ctx context.Context, id string) error { return errNotYet }

// Resume undoes Pause.
func (r *Runtime) Resume(ctx context.Context, id string) error { return errNotYet }

// Update changes the limits that are set in res.
func (r *Runtime) Update(ctx context.Context, id string, res *specs.LinuxResources) error {
	return errNotYet
}

// Pids lists the processes in a container, by their ids on the host.
func (r *Runtime) Pids(id string) ([]int, error) { return nil, errNotYet }

// Cgroup is the container's control group, for its statistics. nil if it has none.
func (r *Runtime) Cgroup(id string) (*cgroups.Cgroup, error) { return nil, errNotYet }

// CheckpointArgs say how to write a container's processes to disk.
type CheckpointArgs struct {
	ImagePath, WorkPath, ParentPath                   string
	LeaveRunning, TCPEstablished, ExtUnixSk, ShellJob bool
	TCPSkipInFlight, FileLocks, PreDump, LazyPages    bool
	AutoDedup                                         bool
	StatusFD                                          int // -1: none
	PageServer                                        string
	ManageCgroups                                     string // soft, full, strict, ignore
	EmptyNS                                           []string
}

// Checkpoint writes the container's processes to disk, with CRIU.
func (r *Runtime) Checkpoint(ctx context.Context, id string, a CheckpointArgs) error {
	return errNotYet
}

// Restore makes a container whose processes come from a checkpoint.
func (r *Runtime) Restore(ctx context.Context, c CreateArgs, a CheckpointArgs) (code int, err error) {
	return 0, errNotYet
}
