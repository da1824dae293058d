package container

import (
	"context"

	"berth/api/runc/command"
)

// simple is a command without flags that does one thing to a container.
func simple(do func(ctx context.Context, rt command.Runtime, id string) error) func(*command.Flags) command.Func {
	return func(*command.Flags) command.Func {
		return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
			rt, err := c.Runtime()
			if err != nil {
				return 0, err
			}
			return 0, do(ctx, rt, args[0])
		}
	}
}

// Start runs the command of a created container.
func Start() command.Command {
	return command.Command{
		Name: "start", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary:  "Run the command of a created container",
		Examples: []string{"berth-oci start web"},
		Setup: simple(func(ctx context.Context, rt command.Runtime, id string) error {
			return rt.Start(ctx, id)
		}),
	}
}

// Pause freezes a container.
func Pause() command.Command {
	return command.Command{
		Name: "pause", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary:  "Freeze all processes of a container",
		Examples: []string{"berth-oci pause web"},
		Setup: simple(func(ctx context.Context, rt command.Runtime, id string) error {
			return rt.Pause(ctx, id)
		}),
	}
}

// Resume undoes Pause.
func Resume() command.Command {
	return command.Command{
		Name: "resume", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary:  "Let a paused container run on",
		Examples: []string{"berth-oci resume web"},
		Setup: simple(func(ctx context.Context, rt command.Runtime, id string) error {
			return rt.Resume(ctx, id)
		}),
	}
}
