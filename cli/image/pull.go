package image

import (
	"context"
	"fmt"

	"berth/cli/command"
	"berth/cli/progress"

	"github.com/spf13/pflag"
)

// Pull is `berth pull`.
func Pull() command.Command {
	return command.Command{
		Name: "pull", Group: command.GroupImage, Args: "NAME[:TAG|@DIGEST]", Min: 1, Max: 1,
		Complete: command.Images,
		Summary:  "Fetch an image from a registry",
		Examples: []string{"berth pull debian:12", "berth pull --platform linux/arm64 localhost:5000/app"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			platform := fs.String("platform", "", "Platform of the image, as linux/arm64, where it has several")
			quiet := fs.BoolP("quiet", "q", false, "Do not show progress")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				api, err := c.Client(ctx)
				if err != nil {
					return err
				}
				out := c.Out
				if *quiet {
					out = nil
				}
				if err := progress.Pull(ctx, api, args[0], *platform, out); err != nil {
					return err
				}
				if *quiet {
					fmt.Fprintln(c.Out, args[0])
				}
				return nil
			}
		},
	}
}
