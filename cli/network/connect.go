package network

import (
	"context"

	"berth/cli/command"
	"berth/cli/request"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

// Connect is `berth network connect`.
func Connect() command.Command {
	return command.Command{
		Name: "network connect", Group: command.GroupNetwork, Args: "NETWORK CONTAINER", Min: 2, Max: 2,
		Complete: command.Networks, Then: command.Containers,
		Summary:  "Put a container, running or not, into a network",
		Examples: []string{"berth network connect backend web", "berth network connect --alias db --ip 172.30.0.5 backend postgres"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var e request.Endpoint
			fs.StringVar(&e.IP, "ip", "", "IPv4 address, as 172.30.0.5")
			fs.StringVar(&e.IP6, "ip6", "", "IPv6 address, as fd00::5")
			fs.StringVar(&e.MAC, "mac-address", "", "Ethernet address, as 02:42:ac:11:00:02")
			fs.StringSliceVar(&e.Aliases, "alias", nil, "Further name of the container in this network")
			fs.StringSliceVar(&e.DriverOpts, "driver-opt", nil, "Option of the network's driver, NAME=VALUE")
			fs.IntVar(&e.Priority, "gw-priority", 0, "The network with the highest gives the default route; may be negative")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				if err := checkName(args[0]); err != nil {
					return err
				}
				settings, err := e.Settings("network " + args[0])
				if err != nil {
					return command.Code(command.BadInput, err)
				}
				api, err := c.Client(ctx)
				if err != nil {
					return err
				}
				r := network.ConnectRequest{Container: args[1], EndpointConfig: settings}
				return api.Post(ctx, "/networks/"+args[0]+"/connect", nil, r, nil)
			}
		},
	}
}
