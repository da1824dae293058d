package container

import (
	"context"

	"berth/cli/command"
	"berth/cli/format"

	"github.com/spf13/pflag"
)

// Top is `berth top`.
func Top() command.Command {
	return command.Command{
		Name: "top", Group: command.GroupWatch, Args: "CONTAINER", Min: 1, Max: 1,
		Complete: command.Containers,
		Summary:  "List the processes of a container",
		Examples: []string{"berth top web"},
		Setup: func(*pflag.FlagSet) command.Func {
			return func(ctx context.Context, c *command.CLI, args []string) error {
				if err := checkName(args[0]); err != nil {
					return err
				}
				api, err := c.Client(ctx)
				if err != nil {
					return err
				}
				var top struct {
					Titles    []string
					Processes [][]string
				}
				if err := api.Get(ctx, "/containers/"+args[0]+"/top", nil, &top); err != nil {
					return err
				}
				var t format.Table
				t.Add(top.Titles...)
				for _, p := range top.Processes {
					t.Add(p...)
				}
				return t.Print(c.Out)
			}
		},
	}
}
