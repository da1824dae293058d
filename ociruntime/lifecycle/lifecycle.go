// Package lifecycle makes containers out of OCI runtime specs, runs further
// processes in them, and ends them.
//
// Level: R.
// Owns: the order of a container's start; the keeper's open files.
// May import: ociruntime subrooms, internal/linux, internal/cleanup.
// Must not know: images, the Docker API, the engine.
package lifecycle

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Runtime starts containers. It is safe for concurrent use.
type Runtime struct{}

// New probes the kernel. A kernel that is too old is an error that names the
// feature and the version.
func New() (*Runtime, error) { return nil, errors.ErrUnsupported }

// Args say what to start.
type Args struct {
	// ID names the container.
	ID string
	// Spec is the OCI runtime spec. Spec.Process.Terminal asks for a terminal.
	Spec *specs.Spec
	// Rootfs is mounted as the container's root. Nil: Spec.Root.Path is bound.
	Rootfs *linux.Overlay
	// RunDir is an existing directory, mode 0700, of this container alone
	// (/run/berth/containers/ID). The keeper writes its exit record there.
	RunDir string
	// OpenStdin asks for a pipe to the process's standard input; without it
	// that is /dev/null. Ignored with a terminal.
	OpenStdin bool
	// ConsoleWidth and ConsoleHeight are the terminal's first size in cells; 0 leaves it.
	ConsoleWidth, ConsoleHeight uint16
}

// IO is the daemon's side of a process's standard files. With a terminal only
// Console is set; without, Stdout and Stderr are, and Stdin if it was asked
// for. All are pollable. The keeper holds copies, so that they outlive the daemon.
type IO struct {
	Console               *os.File
	Stdin, Stdout, Stderr *os.File
}

// Exit is how a process ended.
type Exit struct {
	// Code is the exit status, 128+n if signal n ended the process.
	Code int
	// Signal is the signal that ended the process, or 0.
	Signal syscall.Signal
	// Started and Finished are wall-clock times.
	Started, Finished time.Time
}

// Process is a container's init or a process added by Exec.
type Process struct{}

// Pid is the process's id in the host's pid namespace.
func (p *Process) Pid() int { return 0 }

// IO returns the daemon's ends. They belong to the caller.
func (p *Process) IO() IO { return IO{} }

// Wait returns when the process has ended and its keeper has recorded how. It
// may be called many times and concurrently.
func (p *Process) Wait(ctx context.Context) (Exit, error) { return Exit{}, errors.ErrUnsupported }

// Signal sends sig to the process through its pidfd; os.ErrProcessDone if it has ended.
func (p *Process) Signal(sig syscall.Signal) error { return errors.ErrUnsupported }

// Resize sets the terminal's size in cells.
func (p *Process) Resize(width, height uint16) error { return errors.ErrUnsupported }

// Release ends the keeper once the caller has read the exit and all output.
// Until then the keeper holds the pipes and what is in them.
func (p *Process) Release() error { return errors.ErrUnsupported }

// Container is a started container.
type Container struct {
	// Process is the container's init, PID 1 inside.
	*Process
}

// Start makes the container and starts its command. When it returns nil the
// command's execve has happened; when not, nothing is left behind. A failed
// step is a *StepError.
func (r *Runtime) Start(ctx context.Context, a Args) (*Container, error) {
	return nil, errors.ErrUnsupported
}

// Adopt takes over a container that an earlier daemon started, by its RunDir:
// its init runs, or has ended and its exit is recorded there. os.ErrNotExist
// if there is no keeper and no exit record.
func (r *Runtime) Adopt(id, runDir string, spec *specs.Spec) (*Container, error) {
	return nil, errors.ErrUnsupported
}

// ExecArgs say what to run in a container.
type ExecArgs struct {
	ID                          string // names the exec; unique within the container
	RunDir                      string // existing directory of this exec alone, mode 0700
	Process                     *specs.Process
	OpenStdin                   bool
	ConsoleWidth, ConsoleHeight uint16
}

// Exec starts a further process in the container's namespaces and cgroup.
func (c *Container) Exec(ctx context.Context, a ExecArgs) (*Process, error) {
	return nil, errors.ErrUnsupported
}

// Pause freezes every process of the container; Resume thaws them.
func (c *Container) Pause() error { return errors.ErrUnsupported }

// Resume undoes Pause.
func (c *Container) Resume() error { return errors.ErrUnsupported }

// Delete kills what is left, ends the keeper and removes the container's
// cgroup. It may be repeated.
func (c *Container) Delete(ctx context.Context) error { return errors.ErrUnsupported }

// Explain returns the plan, one step a line, grouped by stage.
func (r *Runtime) Explain(a Args) (string, error) { return "", errors.ErrUnsupported }

// StepError is a step of a plan that failed.
type StepError struct {
	Step  string        // what was done: "mount proc at /proc"
	Errno syscall.Errno // why it failed
	// Exec is set when the failed step is the execve of the user's command.
	Exec bool
}

// Error returns "mount proc at /proc: operation not permitted".
func (e *StepError) Error() string { return e.Step + ": " + e.Errno.Error() }

// Unwrap returns the errno.
func (e *StepError) Unwrap() error { return e.Errno }
