package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"berth/api/runc/command"
	"berth/ociruntime/standalone"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Exit codes, as runc's.
const (
	failed    = 1
	noCommand = 3 // there is no such command
)

// Main runs berth-oci with the arguments after the program's name and returns
// its exit code.
func Main(ctx context.Context, args []string, version, commit string) int {
	return Run(ctx, &command.CLI{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Version: version, Commit: commit, Env: os.Getenv,
		Open: func(o standalone.Options) (command.Runtime, error) { return standalone.Open(o) },
	}, args)
}

// Run is Main with the streams and the runtime of c.
func Run(ctx context.Context, c *command.CLI, args []string) int {
	c.Log = command.NewLog(c.Err)
	code, err := dispatch(ctx, c, args)
	if err != nil {
		c.Log.Error(err)
	}
	if err := c.Log.Close(); err != nil {
		fmt.Fprintf(c.Err, "%s: close the log: %v\n", command.Program, err)
	}
	return code
}

// dispatch reads the flags before the command, and runs it.
func dispatch(ctx context.Context, c *command.CLI, args []string) (code int, err error) {
	g := newGlobals(c)
	args, err = g.flags.Parse(args, true)
	switch {
	case errors.Is(err, command.ErrHelp):
		return 0, showOverview(c, g)
	case err != nil:
		return failed, fmt.Errorf("%w before the command: see '%s --help'", err, command.Program)
	case g.version:
		return 0, showVersion(c)
	}
	if len(args) == 0 {
		return 0, showOverview(c, g)
	}
	if err := g.apply(c); err != nil {
		return failed, err
	}
	cmd := find(args[0])
	if cmd == nil {
		return noCommand, fmt.Errorf("%q is not a command: see '%s --help'", args[0], command.Program)
	}
	return execute(ctx, c, g, cmd, args[1:])
}

// execute parses a command's flags and runs it.
func execute(ctx context.Context, c *command.CLI, g *globals, cmd *command.Command, args []string) (code int, err error) {
	flags := &command.Flags{}
	run := cmd.Setup(flags)
	rest, err := flags.Parse(args, cmd.ArgsEndFlags)
	switch {
	case errors.Is(err, command.ErrHelp):
		return 0, showHelp(c, cmd)
	case err != nil:
		return failed, fmt.Errorf("%s: %w: see '%s %s --help'%s", cmd.Name, err, command.Program, cmd.Name, g.misplaced(args))
	}
	if err := cmd.CheckArgs(rest); err != nil {
		return failed, err
	}
	if cmd.Container {
		if err := checkID(rest[0]); err != nil {
			return failed, err
		}
	}
	c.Log.Debugf("%s %q with root %s", cmd.Name, rest, c.Global.Root)
	code, err = run(ctx, c, rest)
	if err == nil {
		return code, nil
	}
	code = failed
	if cmd.Failed != 0 {
		code = cmd.Failed
	}
	return code, err
}

// showVersion prints what dockerd and others take apart: lines of "name: value",
// the first with the word version.
func showVersion(c *command.CLI) error {
	commit := ""
	if c.Commit != "" {
		commit = "commit: " + c.Commit + "\n"
	}
	_, err := fmt.Fprintf(c.Out, "%s version %s\n%sspec: %s\ngo: %s\n", command.Program, c.Version, commit, specs.Version, runtime.Version())
	return err
}

// write prints a text, which is done when it is written whole.
func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
