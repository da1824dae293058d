package lifecycle

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"berth/internal/linux"
	"berth/ociruntime/facts"
	"berth/ociruntime/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecArgs say what to run in a container.
type ExecArgs struct {
	// ID names the exec; unique within the container.
	ID string
	// RunDir is an existing directory of this exec alone, mode 0700.
	RunDir string
	// Process says what to run, and with which user, capabilities and terminal.
	Process *specs.Process
	// OpenStdin asks for a pipe to standard input; else that is /dev/null.
	OpenStdin bool
	// ConsoleWidth and ConsoleHeight are the terminal's first size in cells; 0 leaves it.
	ConsoleWidth, ConsoleHeight uint16
}

// Exec starts a further process in the container's namespaces and cgroup, with
// the container's seccomp profile. Its Release must be called.
func (c *Container) Exec(ctx context.Context, a ExecArgs) (*Process, error) {
	if c.pidfd == nil {
		return nil, fmt.Errorf("exec in %s: %w", c.id, os.ErrProcessDone)
	}
	// Only what an exec has in common with its container; the plan changes its copy.
	spec := &specs.Spec{Process: a.Process, Linux: &specs.Linux{
		Namespaces: c.spec.Linux.Namespaces, UIDMappings: c.spec.Linux.UIDMappings, GIDMappings: c.spec.Linux.GIDMappings,
		Personality: c.spec.Linux.Personality, MemoryPolicy: c.spec.Linux.MemoryPolicy,
	}}
	in := plan.Input{Spec: spec, Width: a.ConsoleWidth, Height: a.ConsoleHeight, LastCap: c.runtime.lastCap, Keyring: "_ses." + c.id}
	if s := c.spec.Linux.Seccomp; s != nil {
		f, err := c.runtime.filters.Compile(s, runtime.GOARCH)
		if err != nil {
			return nil, fmt.Errorf("compile the seccomp profile: %w", err)
		}
		in.Filter, in.FilterFlags = f.Bytes(), uint64(f.Flags)
	}
	var extra []*os.File
	if c.cgroup != nil {
		facts.DescribeJoins(c.cgroup, c.cgroup.Joins(), &in)
		joins, err := c.cgroup.OpenJoins(c.cgroup.Joins())
		if err != nil {
			return nil, err
		}
		extra = joins
	}
	files, err := newStdio(a.RunDir, spec, a.OpenStdin, extra)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*Process, error) {
		files.handedOver()
		files.abandon()
		return nil, err
	}
	// A file of its own: Release may close the container's meanwhile.
	init, err := openChild(c.pid, c.keeperPid)
	if err != nil {
		return fail(fmt.Errorf("exec in %s: %w", c.id, err))
	}
	files.theirs = append(files.theirs, init)
	files.inherit = append(files.inherit, init)
	if a.Process.Terminal {
		devpts, err := linux.PidfdGetfd(c.keeper, plan.FDDevpts, "devpts", false)
		if err != nil {
			return fail(fmt.Errorf("get devpts of %s: %w", c.id, err))
		}
		files.theirs = append(files.theirs, devpts)
		files.inherit[plan.FDDevpts] = devpts
	}
	prog, err := plan.BuildExec(in)
	if err != nil {
		return fail(err)
	}
	return launch(ctx, prog, a.ID, a.RunDir, a.Process.Terminal, files)
}
