package criu

import (
	"context"

	"berth/api/runc/command"
	"berth/ociruntime/standalone"
)

// Restore makes a container from a checkpoint.
func Restore() command.Command {
	return command.Command{
		Name: "restore", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary: "Make a container whose processes come from a checkpoint",
		Help: `The bundle is checked as that of a new container. Without --detach it stays until the
container's process has ended.`,
		Examples:  []string{"berth-oci restore --image-path /var/tmp/web --bundle /containers/web --detach web"},
		ExitCodes: "  N      the process exited with N\n  128+N  signal N ended it\n  1      it could not be restored; the reason is on standard error and in --log\n",
		Setup: func(f *command.Flags) command.Func {
			var create standalone.CreateArgs
			var ignored bool
			a := standalone.CheckpointArgs{StatusFD: -1}
			f.String(&create.Bundle, "bundle,b", "DIR", "the bundle, if it is not the working directory")
			f.String(&create.ConsoleSocket, "console-socket", "PATH", "a unix socket that gets the terminal's master")
			f.String(&create.PidFile, "pid-file", "FILE", "write the process id to FILE")
			f.Bool(&create.Detach, "detach,d", "do not wait for the process")
			f.Bool(&create.NoPivot, "no-pivot", "for a root on a ram disk, which cannot be pivoted")
			f.Bool(&ignored, "no-subreaper", "").Hidden = true
			f.String(&a.LSMProfile, "lsm-profile", "TYPE:NAME", "restore with this profile of AppArmor or SELinux")
			f.String(&a.LSMMountContext, "lsm-mount-context", "CONTEXT", "restore mounts with this SELinux context")
			shared(f, &a)
			return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
				if err := check(&a); err != nil {
					return 0, err
				}
				a.Criu = c.Global.Criu
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				create.ID = args[0]
				return rt.Restore(ctx, create, a)
			}
		},
	}
}
