package container

import (
	"context"
	"fmt"

	"berth/cli/command"
	"berth/cli/request"
	"berth/cli/session"

	"github.com/spf13/pflag"
)

const runExitCodes = `Exit codes:
  125  berth could not start the container: wrong flags, no such image, no root
  126  the container's command cannot be executed
  127  the container's command does not exist
  128+n  signal n ended the command (137: killed, also for want of memory)
  else  the command's own code; 0 with --detach`

type runOptions struct {
	flags      *request.Flags
	detach     bool
	detachKeys string
	sigProxy   bool
}

// Run is `berth run`.
func Run() command.Command {
	return command.Command{
		Name: "run", Group: command.GroupRun, Args: "IMAGE [COMMAND] [ARG...]",
		Min: 1, Max: -1, ArgsEndFlags: true, Complete: command.Images,
		Summary: "Run a command in a new container",
		Help: `
The image is pulled if it is not here. With -t and -i the terminal belongs to the
container until its command ends; ctrl-p ctrl-q leaves it running. Without -t,
stdout and stderr stay apart and signals go to the command.`,
		Examples: []string{
			"berth run --rm -ti toolbox",
			"berth run --rm debian:12 cat /etc/os-release",
			"berth run -d --name web -m 256m --cpus 1.5 -p 8080:80 nginx",
			"berth run -d --name db --network backend --network-alias sql postgres",
			"berth run --rm -ti --network container:web --pid container:web toolbox",
			"berth run --rm -v $PWD:/src:ro -w /src golang:1.26 go vet ./...",
		},
		ExitCodes: runExitCodes,
		Setup: func(fs *pflag.FlagSet) command.Func {
			o := runOptions{flags: request.Define(fs)}
			fs.BoolVarP(&o.detach, "detach", "d", false, "Do not wait: print the container's id")
			fs.StringVar(&o.detachKeys, "detach-keys", session.DefaultDetachKeys, "Keys that leave the container running")
			fs.BoolVar(&o.sigProxy, "sig-proxy", true, "Send signals that berth gets to the container")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				return command.Code(command.BadInput, runRun(ctx, c, o, args))
			}
		},
	}
}

// runRun creates, attaches, starts and waits. It attaches before it starts, so
// that no output is lost.
func runRun(ctx context.Context, c *command.CLI, o runOptions, args []string) error {
	r, streams, err := o.flags.Build(args, o.detach)
	if err != nil {
		return err
	}
	a := &attachment{
		cli: c, tty: r.Tty, stdin: streams.Stdin, stdout: streams.Stdout, stderr: streams.Stderr,
		sigProxy: o.sigProxy, autoRemove: r.HostConfig.AutoRemove, memory: r.HostConfig.Memory,
	}
	if a.keys, err = session.DetachKeys(o.detachKeys); err != nil {
		return err
	}
	if !o.detach {
		if err := a.checkTerminal(); err != nil {
			return err
		}
		if h, w := session.Size(a.window()); h > 0 {
			r.HostConfig.ConsoleSize = &[2]uint{h, w}
		}
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	cid, err := openCIDFile(o.flags.CIDFile)
	if err != nil {
		return err
	}
	defer cid.close()
	a.id, err = create(ctx, c, o.flags, r, cid)
	if err != nil {
		return err
	}
	if o.detach {
		if err := api.Post(ctx, "/containers/"+a.id+"/start", nil, nil, nil); err != nil {
			return startError(err)
		}
		fmt.Fprintln(c.Out, a.id)
		return nil
	}
	return a.run(ctx, api, startCreated)
}
