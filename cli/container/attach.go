package container

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"berth/cli/client"
	"berth/cli/command"
	"berth/cli/session"

	"github.com/spf13/pflag"
)

// Attach is `berth attach`.
func Attach() command.Command {
	return command.Command{
		Name: "attach", Group: command.GroupRun, Args: "CONTAINER", Min: 1, Max: 1,
		Complete: command.Containers,
		Summary:  "Join the streams of a running container",
		Help:     "The exit code is the container's. ctrl-p ctrl-q leaves a container with a terminal running.",
		Examples: []string{"berth attach web", "berth attach --no-stdin web"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			noStdin := fs.Bool("no-stdin", false, "Do not join stdin")
			keys := fs.String("detach-keys", session.DefaultDetachKeys, "Keys that leave the container running")
			proxy := fs.Bool("sig-proxy", true, "Send signals that berth gets to the container")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				a, api, err := existing(ctx, c, args[0], *keys)
				if err != nil {
					return err
				}
				a.stdin = a.stdin && !*noStdin
				a.sigProxy = *proxy
				if err := a.checkTerminal(); err != nil {
					return err
				}
				return a.run(ctx, api, alreadyRunning)
			}
		},
	}
}

// existing looks a container up and prepares to attach to it. Whether it runs is
// checked for alreadyRunning only by its state here.
func existing(ctx context.Context, c *command.CLI, name, keys string) (*attachment, *client.Client, error) {
	a, i, api, err := lookUp(ctx, c, name, keys)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case i.State.Paused:
		return nil, nil, fmt.Errorf("container %s is paused: unpause it first", name)
	case !i.State.Running:
		return nil, nil, fmt.Errorf("container %s does not run: start it with 'berth start --attach %s'", name, name)
	}
	return a, api, nil
}

func lookUp(ctx context.Context, c *command.CLI, name, keys string) (*attachment, *client.Inspect, *client.Client, error) {
	sequence, err := session.DetachKeys(keys)
	if err != nil {
		return nil, nil, nil, command.Code(command.BadInput, err)
	}
	api, err := c.Client(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	i, err := inspect(ctx, api, name)
	if err != nil {
		return nil, nil, nil, err
	}
	a := &attachment{
		cli: c, id: i.ID, tty: i.Config.Tty, keys: sequence,
		stdin: i.Config.OpenStdin, stdout: true, stderr: true,
		autoRemove: i.HostConfig.AutoRemove, memory: i.HostConfig.Memory,
	}
	return a, i, api, nil
}

// errNothingToDo is a reason to warn that does not make a command fail.
var errNothingToDo = errors.New("nothing to do")

// each returns a command's work that sends one request for each container and
// prints the names that were done.
func each(do func(ctx context.Context, api *client.Client, name string) error) command.Func {
	return func(ctx context.Context, c *command.CLI, args []string) error {
		api, err := c.Client(ctx)
		if err != nil {
			return err
		}
		return command.Each(c, args, func(name string) error {
			if err := checkName(name); err != nil {
				return err
			}
			err := do(ctx, api, name)
			if errors.Is(err, errNothingToDo) {
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
}

func inspect(ctx context.Context, api *client.Client, name string) (*client.Inspect, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	var i client.Inspect
	if err := api.Get(ctx, "/containers/"+name+"/json", nil, &i); err != nil {
		return nil, err
	}
	return &i, nil
}

// checkName refuses what would make another path of a request's path.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return command.BadUsage("%q is no name or id of a container: 'berth ps -a' lists them", name)
	}
	return nil
}
