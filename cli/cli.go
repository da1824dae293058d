package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"berth/cli/command"
	"berth/cli/launch"

	"github.com/spf13/pflag"
)

// Main runs berth with the arguments after the program's name and returns its
// exit code.
func Main(ctx context.Context, args []string, version string) int {
	c := &command.CLI{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Version:  version,
		Settings: launch.FromEnv(os.Getenv),
	}
	return Run(ctx, c, args)
}

// Run is Main with the streams and settings of c.
func Run(ctx context.Context, c *command.CLI, args []string) int {
	err := dispatch(ctx, c, args)
	if err == nil {
		return 0
	}
	var exit *command.Exit
	if !errors.As(err, &exit) {
		exit = &command.Exit{Code: command.Failed, Err: err}
	}
	if exit.Err != nil {
		c.Warn(exit.Err)
	}
	return exit.Code
}

// dispatch reads the flags before the command, and runs it.
func dispatch(ctx context.Context, c *command.CLI, args []string) error {
	args, err := globalFlags(c, args)
	if err != nil || args == nil {
		return err
	}
	if len(args) == 0 {
		return command.Code(command.BadInput, showOverview(c))
	}
	if err := c.Settings.Check(); err != nil {
		return command.Code(command.BadInput, err)
	}
	name, args := args[0], args[1:]
	if verbs, ok := objects(name); ok {
		return dispatchObject(ctx, c, name, verbs, args)
	}
	cmd := find(name)
	if cmd == nil {
		return command.BadUsage("%q is not a berth command: see 'berth help'", name)
	}
	return execute(ctx, c, cmd, args)
}

// dispatchObject runs docker's longer spelling, as `berth image ls`.
func dispatchObject(ctx context.Context, c *command.CLI, object string, verbs map[string]string, args []string) error {
	if len(args) > 0 {
		if args[0] == "-h" || args[0] == "--help" {
			return showObject(c, object, verbs)
		}
		if name, ok := verbs[args[0]]; ok {
			args = args[1:]
			if object == "image" && name == "inspect" {
				args = append([]string{"--type=image"}, args...)
			}
			return execute(ctx, c, find(name), args)
		}
	}
	return command.BadUsage("berth %s needs one of %s: see 'berth %s --help'", object, strings.Join(sorted(verbs), ", "), object)
}

// execute parses a command's flags and runs it.
func execute(ctx context.Context, c *command.CLI, cmd *command.Command, args []string) error {
	fs := newFlags(cmd)
	run := cmd.Setup(fs)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return showHelp(c, cmd)
		}
		return command.BadUsage("berth %s: %w: see 'berth %s --help'", cmd.Name, err, cmd.Name)
	}
	if err := cmd.CheckArgs(fs.Args()); err != nil {
		return err
	}
	return run(ctx, c, fs.Args())
}

func newFlags(cmd *command.Command) *pflag.FlagSet {
	fs := pflag.NewFlagSet(cmd.Name, pflag.ContinueOnError)
	fs.SetOutput(discard{})
	fs.Usage = func() {}
	fs.SetInterspersed(!cmd.ArgsEndFlags)
	return fs
}

// discard drops what pflag would print itself: errors are printed once, by Run.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// globalFlags reads the flags before the command. It returns nil if one of them
// was all that was asked for.
func globalFlags(c *command.CLI, args []string) ([]string, error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" {
		flag, value, has := strings.Cut(args[0], "=")
		args = args[1:]
		var to *string
		switch flag {
		case "-v", "--version":
			fmt.Fprintf(c.Out, "berth version %s\n", c.Version)
			return nil, nil
		case "-h", "--help":
			return nil, showOverview(c)
		case "-H", "--host":
			to = &c.Settings.Host
		case "--root":
			to = &c.Settings.Root
		case "--run":
			to = &c.Settings.Run
		default:
			return nil, command.BadUsage("unknown flag %s before the command: see 'berth help'", flag)
		}
		if !has {
			if len(args) == 0 {
				return nil, command.BadUsage("%s needs a value: see 'berth help'", flag)
			}
			value, args = args[0], args[1:]
		}
		*to = value
	}
	return append([]string{}, args...), nil
}
