package container

import (
	"context"
	"errors"
	"net/url"

	"berth/cli/command"
	"berth/cli/request"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

// Explain is `berth explain`.
func Explain() command.Command {
	return command.Command{
		Name: "explain", Group: command.GroupWatch, Args: "CONTAINER | [run] IMAGE [COMMAND] [ARG...]",
		Min: 1, Max: -1, ArgsEndFlags: true, Complete: command.Containers,
		Summary: "Print how a container is built, one step a line",
		Help: `
A container is a list of system calls. explain prints the list of a container that
exists, or of one that run would make from the same flags; nothing is made.`,
		Examples: []string{"berth explain web", "berth explain -m 64m --read-only toolbox sh", "berth explain run --rm -ti toolbox"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			flags, detach := runFlags(fs)
			return func(ctx context.Context, c *command.CLI, args []string) error {
				if args[0] == "run" && len(args) > 1 && fs.NFlag() == 0 {
					// A whole line of run: its flags come after the word.
					fs = pflag.NewFlagSet("explain run", pflag.ContinueOnError)
					fs.SetInterspersed(false)
					fs.Usage = func() {}
					flags, detach = runFlags(fs)
					if err := fs.Parse(args[1:]); err != nil {
						return command.BadUsage("berth explain run: %w: see 'berth run --help'", err)
					}
					if args = fs.Args(); len(args) == 0 {
						return command.BadUsage("berth explain run needs an image, as run does")
					}
					return explainRequest(ctx, c, flags, *detach, args)
				}
				if len(args) > 1 || fs.NFlag() > 0 {
					return explainRequest(ctx, c, flags, *detach, args)
				}
				err := explainContainer(ctx, c, args[0])
				if errors.Is(err, errdefs.ErrNotFound) {
					err = explainRequest(ctx, c, flags, *detach, args)
				}
				if errors.Is(err, errdefs.ErrNotFound) {
					return notFound(args[0])
				}
				return err
			}
		},
	}
}

// runFlags defines the flags of run; those that only matter to the command line
// are taken and not used.
func runFlags(fs *pflag.FlagSet) (flags *request.Flags, detach *bool) {
	flags = request.Define(fs)
	detach = fs.BoolP("detach", "d", false, "As in run")
	fs.String("detach-keys", "", "As in run")
	fs.Bool("sig-proxy", true, "As in run")
	return flags, detach
}

func explainContainer(ctx context.Context, c *command.CLI, name string) error {
	if checkName(name) != nil {
		return errdefs.ErrNotFound // it can still be an image
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var text []byte
	if err := api.Get(ctx, "/containers/"+name+"/explain", nil, &text); err != nil {
		return err
	}
	_, err = c.Out.Write(text)
	return err
}

func explainRequest(ctx context.Context, c *command.CLI, flags *request.Flags, detach bool, args []string) error {
	r, _, err := flags.Build(args, detach)
	if err != nil {
		return err
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	q := url.Values{}
	if flags.Name != "" {
		q.Set("name", flags.Name)
	}
	if flags.Platform != "" {
		q.Set("platform", flags.Platform)
	}
	var text []byte
	if err := api.Post(ctx, "/berth/explain", q, r, &text); err != nil {
		return err
	}
	_, err = c.Out.Write(text)
	return err
}
