// Package lifecycle makes containers out of OCI runtime specs, runs further
// processes in them, and ends them.
//
// Level: R.
// Owns: the order of a container's start; the keeper's open files and records.
// May import: ociruntime subrooms, internal/linux, internal/cleanup.
// Must not know: images, the Docker API, the engine.
package lifecycle

import (
	"os"
	"syscall"
	"time"

	"berth/internal/linux"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/plan/netdevice"
	"berth/ociruntime/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Runtime starts containers. It is safe for concurrent use.
type Runtime struct {
	lastCap        int
	detachedLayers bool
	bindDevices    bool // no device nodes can be made
	filters        seccomp.Cache
}

// New probes the kernel. A kernel that is too old is an error that names the
// feature and the version.
func New() (*Runtime, error) {
	if err := linux.CheckKernel(); err != nil {
		return nil, err
	}
	last, err := linux.LastCap()
	if err != nil {
		return nil, err
	}
	detached, err := linux.DetachedLayers()
	if err != nil {
		return nil, err
	}
	return &Runtime{lastCap: last, detachedLayers: detached, bindDevices: linux.InUserNamespace()}, nil
}

// Args say what to start.
type Args struct {
	// ID names the container.
	ID string
	// Spec is the OCI runtime spec. Spec.Process.Terminal asks for a terminal.
	Spec *specs.Spec
	// Rootfs is mounted as the container's root. Nil: Spec.Root.Path is bound.
	Rootfs *linux.Overlay
	// RunDir is an existing directory, mode 0700, of this container alone
	// (/run/berth/containers/ID). The keeper writes its records there.
	RunDir string
	// OpenStdin asks for a pipe to the process's standard input; without it
	// that is /dev/null. Ignored with a terminal.
	OpenStdin bool
	// Namespaces are the files of those that the spec joins by path; the paths are
	// only shown. They and Tmpfs stay the caller's.
	Namespaces map[specs.LinuxNamespaceType]*os.File
	// Tmpfs are the detached mounts of the spec's tmpfs with option tmpcopyup, in
	// their order: somebody else has made them.
	Tmpfs []*os.File
	// Pairs join the container's network namespace to bridges.
	Pairs []netdevice.Pair
	// ConsoleWidth and ConsoleHeight are the terminal's first size in cells; 0 leaves it.
	ConsoleWidth, ConsoleHeight uint16
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

// Container is a started container.
type Container struct {
	// Process is the container's init, PID 1 inside.
	*Process
	runtime *Runtime
	id      string
	spec    *specs.Spec
	cgroup  *cgroups.Cgroup
}

// Cgroup is the container's control group: statistics and whether it ran out
// of memory. Nil if the spec names no cgroup path.
func (c *Container) Cgroup() *cgroups.Cgroup { return c.cgroup }

// StepError is a step of a plan that failed.
type StepError struct {
	Step  string        // what was done: "mount proc at /proc"
	Errno syscall.Errno // why it failed
	// Remedy says what the user can do; empty if nothing is known.
	Remedy string
	// Exec is set when the failed step is the execve of the user's command.
	Exec bool
}

// Error returns "mount proc at /proc: operation not permitted", and the remedy
// if there is one.
func (e *StepError) Error() string {
	text := e.Step + ": " + e.Errno.Error()
	if e.Remedy != "" {
		text += ": " + e.Remedy
	}
	return text
}

// Unwrap returns the errno.
func (e *StepError) Unwrap() error { return e.Errno }
