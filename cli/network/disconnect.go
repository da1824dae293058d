package network

import (
	"context"

	"berth/cli/command"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

// Disconnect is `berth network disconnect`.
func Disconnect() command.Command {
	return command.Command{
		Name: "network disconnect", Group: command.GroupNetwork, Args: "NETWORK CONTAINER", Min: 2, Max: 2,
		Complete: command.Networks, Then: command.Containers,
		Summary:  "Take a container out of a network",
		Examples: []string{"berth network disconnect backend web"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			force := fs.BoolP("force", "f", false, "Also if the container's own side cannot be reached")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				if err := checkName(args[0]); err != nil {
					return err
				}
				api, err := c.Client(ctx)
				if err != nil {
					return err
				}
				r := network.DisconnectRequest{Container: args[1], Force: *force}
				return api.Post(ctx, "/networks/"+args[0]+"/disconnect", nil, r, nil)
			}
		},
	}
}
