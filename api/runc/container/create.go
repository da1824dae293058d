package container

import (
	"context"
	"os"
	"strconv"

	"berth/api/runc/command"
	"berth/ociruntime/standalone"
)

const bundleHelp = `The bundle is a directory with a config.json, which names the root file system and
the command; berth-oci spec writes one to start from.`

// Create makes a container that waits for start.
func Create() command.Command {
	return command.Command{
		Name: "create", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary: "Make a container from a bundle; its command waits for start",
		Help:    bundleHelp,
		Examples: []string{
			"berth-oci create --bundle /containers/web web",
			"berth-oci create --pid-file /run/web.pid --console-socket /run/web.sock web",
		},
		Setup: func(f *command.Flags) command.Func {
			var a standalone.CreateArgs
			createFlags(f, &a)
			return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				a.ID, a.ListenFDs = args[0], listenFDs(c)
				return 0, rt.Create(ctx, a)
			}
		},
	}
}

// createFlags are those of create and run.
func createFlags(f *command.Flags, a *standalone.CreateArgs) {
	f.String(&a.Bundle, "bundle,b", "DIR", "the bundle, if it is not the working directory")
	processFlags(f, &a.ProcessArgs)
	f.Bool(&a.NoPivot, "no-pivot", "for a root on a ram disk, which cannot be pivoted: change the root another way")
	f.Bool(&a.NoNewKeyring, "no-new-keyring", "leave the process the caller's session keyring")
}

// processFlags are those of all commands that start a process.
func processFlags(f *command.Flags, a *standalone.ProcessArgs) {
	f.String(&a.ConsoleSocket, "console-socket", "PATH", "a unix socket that gets the terminal's master")
	f.String(&a.PidfdSocket, "pidfd-socket", "PATH", "a unix socket that gets a pidfd of the process")
	f.String(&a.PidFile, "pid-file", "FILE", "write the process id to FILE")
	f.Int(&a.PreserveFDs, "preserve-fds", "N", "the process gets N further open files of the caller, from number 3 on")
}

// listenFDs is how many sockets systemd has opened for the container's process
// (sd_listen_fds(3)).
func listenFDs(c *command.CLI) int {
	pid, err := strconv.Atoi(c.Env("LISTEN_PID"))
	if err != nil || pid != os.Getpid() {
		return 0
	}
	n, err := strconv.Atoi(c.Env("LISTEN_FDS"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
