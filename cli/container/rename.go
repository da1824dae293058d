package container

import (
	"context"
	"net/url"

	"berth/cli/command"

	"github.com/spf13/pflag"
)

// Rename is `berth rename`.
func Rename() command.Command {
	return command.Command{
		Name: "rename", Group: command.GroupRun, Args: "CONTAINER NAME", Min: 2, Max: 2,
		Complete: command.Containers,
		Summary:  "Give a container another name",
		Examples: []string{"berth rename web old-web"},
		Setup: func(*pflag.FlagSet) command.Func {
			return func(ctx context.Context, c *command.CLI, args []string) error {
				if err := checkName(args[0]); err != nil {
					return err
				}
				api, err := c.Client(ctx)
				if err != nil {
					return err
				}
				return api.Post(ctx, "/containers/"+args[0]+"/rename", url.Values{"name": {args[1]}}, nil, nil)
			}
		},
	}
}
