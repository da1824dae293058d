package container

import (
	"context"
	"fmt"

	"berth/cli/client"
	"berth/cli/command"
	"berth/cli/session"

	"github.com/spf13/pflag"
)

type startOptions struct {
	attach, interactive, sigProxy bool
	detachKeys                    string
}

// Start is `berth start`.
func Start() command.Command {
	return command.Command{
		Name: "start", Group: command.GroupRun, Args: "CONTAINER [CONTAINER...]", Min: 1, Max: -1,
		Complete: command.Containers,
		Summary:  "Start containers that were created or have ended",
		Help:     "With --attach or --interactive, the exit code is the container's.",
		Examples: []string{"berth start web", "berth start -ai shell"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o startOptions
			fs.BoolVarP(&o.attach, "attach", "a", false, "Join stdout and stderr and send signals on")
			fs.BoolVarP(&o.interactive, "interactive", "i", false, "Join stdin as well")
			fs.BoolVar(&o.sigProxy, "sig-proxy", true, "Send signals that berth gets to the container")
			fs.StringVar(&o.detachKeys, "detach-keys", session.DefaultDetachKeys, "Keys that leave the container running")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				if o.attach || o.interactive {
					return startAttached(ctx, c, o, args)
				}
				return each(func(ctx context.Context, api *client.Client, name string) error {
					return startError(api.Post(ctx, "/containers/"+name+"/start", nil, nil, nil))
				})(ctx, c, args)
			}
		},
	}
}

func startAttached(ctx context.Context, c *command.CLI, o startOptions, args []string) error {
	if len(args) != 1 {
		return command.BadUsage("--attach and --interactive take one container, but %d were given", len(args))
	}
	a, i, api, err := lookUp(ctx, c, args[0], o.detachKeys)
	if err != nil {
		return err
	}
	if i.State.Running {
		return fmt.Errorf("container %s runs already: join it with 'berth attach %s'", args[0], args[0])
	}
	a.stdin = a.stdin && o.interactive
	a.sigProxy = o.sigProxy
	if err := a.checkTerminal(); err != nil {
		return err
	}
	return a.run(ctx, api, startExisting)
}
