package container

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"berth/cli/client"
	"berth/cli/command"

	"github.com/spf13/pflag"
)

// Wait is `berth wait`.
func Wait() command.Command {
	return command.Command{
		Name: "wait", Group: command.GroupRun, Args: "CONTAINER [CONTAINER...]", Min: 1, Max: -1,
		Complete: command.Containers,
		Summary:  "Wait until containers end, and print their exit codes",
		Help:     "It goes on when berthd is replaced meanwhile.",
		Examples: []string{"code=$(berth wait web)"},
		Setup: func(*pflag.FlagSet) command.Func {
			return func(ctx context.Context, c *command.CLI, args []string) error {
				api, err := c.Client(ctx)
				if err != nil {
					return err
				}
				return command.Each(c, args, func(name string) error {
					r, err := waitFor(ctx, c, api, name)
					if err == nil && r.Error != nil && r.Error.Message != "" {
						err = errors.New(r.Error.Message)
					}
					if err != nil {
						return err
					}
					fmt.Fprintln(c.Out, r.StatusCode)
					return nil
				})
			}
		},
	}
}

// waitFor waits, and asks again when the daemon went away.
func waitFor(ctx context.Context, c *command.CLI, api *client.Client, name string) (*client.WaitResponse, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		var r client.WaitResponse
		err := api.Post(ctx, "/containers/"+name+"/wait", url.Values{"condition": {"not-running"}}, nil, &r)
		if !client.IsLost(err) || try == maxReconnects {
			return &r, err
		}
		if err := c.Reconnect(ctx); err != nil {
			return nil, fmt.Errorf("berthd ended while container %s was waited for: %w", name, err)
		}
	}
}
