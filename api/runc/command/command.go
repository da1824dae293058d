package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"berth/ociruntime/standalone"
)

// Program is the name in messages.
const Program = "berth-oci"

// CLI is what a command is given.
type CLI struct {
	In       io.Reader
	Out, Err io.Writer
	// Version and Commit are of this build.
	Version, Commit string
	// Env reads the environment.
	Env func(name string) string
	// Open opens the runtime.
	Open func(standalone.Options) (Runtime, error)
	// Global are the flags before the command.
	Global Global
	// Log is where messages go.
	Log *Log
}

// Global are the flags before the command.
type Global struct {
	Root          string
	RootIsDefault bool
	SystemdCgroup bool
	// Rootless is nil for auto.
	Rootless *bool
	Criu     string
}

// Runtime opens the runtime that the global flags describe.
func (c *CLI) Runtime() (Runtime, error) {
	return c.Open(standalone.Options{
		Root:          c.Global.Root,
		SystemdCgroup: c.Global.SystemdCgroup,
		NotifySocket:  c.Env("NOTIFY_SOCKET"),
		Warn:          c.Log.Warn,
	})
}

// Command is one verb of the command line.
type Command struct {
	Name string
	// Args is how its arguments are written in the usage line.
	Args string
	// Min and Max bound the number of arguments; Max -1 is no bound.
	Min, Max int
	// Container: the first argument is a container's id.
	Container bool
	// Summary is one line for the list of commands.
	Summary string
	// Help is what the command does beyond its summary.
	Help string
	// Examples are whole lines to try.
	Examples []string
	// ArgsEndFlags is set where the first argument ends the flags, because what
	// follows belongs to somebody else's command (exec, ps).
	ArgsEndFlags bool
	// Failed is the exit code of a failure, 0 for 1.
	Failed int
	// ExitCodes documents codes beyond 0 and 1.
	ExitCodes string
	// Setup defines the flags and returns the work that reads them.
	Setup func(f *Flags) Func
}

// Func does a command's work. The arguments' number and the container's id are
// already checked. code is what berth-oci exits with if err is nil.
type Func func(ctx context.Context, c *CLI, args []string) (code int, err error)

// Usage is the command's usage line.
func (c *Command) Usage() string {
	u := Program + " [GLOBAL OPTIONS] " + c.Name + " [OPTIONS]"
	if c.Args != "" {
		u += " " + c.Args
	}
	return u
}

// CheckArgs tests the number of arguments.
func (c *Command) CheckArgs(args []string) error {
	n := len(args)
	see := fmt.Sprintf("usage: %s; see '%s %s --help'", c.Usage(), Program, c.Name)
	switch {
	case c.Max == 0 && n > 0:
		return fmt.Errorf("%s takes no arguments, but was given %q: %s", c.Name, strings.Join(args, " "), see)
	case c.Max >= 0 && n > c.Max:
		return fmt.Errorf("%s takes at most %s, but was given %d: %s", c.Name, arguments(c.Max), n, see)
	case n < c.Min:
		return fmt.Errorf("%s needs at least %s: %s", c.Name, arguments(c.Min), see)
	}
	return nil
}

func arguments(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}
