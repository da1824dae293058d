package network

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"berth/cli/command"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

// Remove is `berth network rm`.
func Remove() command.Command {
	return command.Command{
		Name: "network rm", Group: command.GroupNetwork, Args: "NETWORK [NETWORK...]", Min: 1, Max: -1,
		Complete: command.Networks,
		Summary:  "Remove networks that no container is in",
		Examples: []string{"berth network rm backend"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			force := fs.BoolP("force", "f", false, "A network that does not exist is no error")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				return runRemove(ctx, c, *force, args)
			}
		},
	}
}

func runRemove(ctx context.Context, c *command.CLI, force bool, args []string) error {
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	return command.Each(c, args, func(name string) error {
		if err := checkName(name); err != nil {
			return err
		}
		err := api.Call(ctx, "DELETE", "/networks/"+name, nil, nil, nil)
		if force && errors.Is(err, errdefs.ErrNotFound) {
			c.Warn(err)
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(c.Out, name)
		return nil
	})
}

// checkName refuses what would make another path of a request's path.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return command.BadUsage("%q is no name or id of a network: 'berth network ls' lists them", name)
	}
	return nil
}
