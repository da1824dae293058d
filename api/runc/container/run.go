package container

import (
	"context"

	"berth/api/runc/command"
	"berth/ociruntime/standalone"
)

// processCodes are the exit codes of commands that pass on a process's.
const processCodes = `  N      the process exited with N
  128+N  signal N ended it
`

// Run makes a container and runs its command.
func Run() command.Command {
	return command.Command{
		Name: "run", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary: "Make a container from a bundle and run its command",
		Help: bundleHelp + `
Without --detach it stays until the command has ended, forwards signals and the
terminal, and removes the container.`,
		Examples: []string{
			"berth-oci run hello",
			"berth-oci run --bundle /containers/web --detach web",
		},
		ExitCodes: processCodes + "  1      the container could not be made; the reason is on standard error and in --log\n",
		Setup: func(f *command.Flags) command.Func {
			var a standalone.CreateArgs
			var ignored bool
			createFlags(f, &a)
			f.Bool(&a.Detach, "detach,d", "do not wait for the command")
			f.Bool(&a.Keep, "keep", "leave the container's state when the command has ended")
			f.Bool(&ignored, "no-subreaper", "taken as runc does; berth-oci adopts nobody's children").Hidden = true
			return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				a.ID, a.ListenFDs = args[0], listenFDs(c)
				return rt.Run(ctx, a)
			}
		},
	}
}
