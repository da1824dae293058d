package container

import (
	"context"

	"berth/api/runc/command"
)

// Delete removes a container.
func Delete() command.Command {
	return command.Command{
		Name: "delete", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary:  "Remove a stopped container",
		Examples: []string{"berth-oci delete web", "berth-oci delete --force web"},
		Setup: func(f *command.Flags) command.Func {
			var force bool
			f.Bool(&force, "force,f", "kill its processes first; a container that does not exist is no error")
			return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				return 0, rt.Delete(ctx, args[0], force)
			}
		},
	}
}
