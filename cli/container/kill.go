package container

import (
	"context"
	"net/url"

	"berth/cli/client"
	"berth/cli/command"

	"github.com/spf13/pflag"
)

// Kill is `berth kill`.
func Kill() command.Command {
	return command.Command{
		Name: "kill", Group: command.GroupRun, Args: "CONTAINER [CONTAINER...]", Min: 1, Max: -1,
		Complete: command.Containers,
		Summary:  "Send containers a signal",
		Examples: []string{"berth kill web", "berth kill -s HUP web"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			signal := fs.StringP("signal", "s", "KILL", "Signal, as HUP, SIGHUP or 1")
			return each(func(ctx context.Context, api *client.Client, name string) error {
				return api.Post(ctx, "/containers/"+name+"/kill", url.Values{"signal": {*signal}}, nil, nil)
			})
		},
	}
}
