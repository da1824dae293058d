package container

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"berth/cli/client"
	"berth/cli/command"
	"berth/cli/request"
	"berth/cli/session"

	"github.com/spf13/pflag"
)

type execOptions struct {
	detach, interactive, tty, privileged bool
	user, workdir, detachKeys            string
	env, envFiles                        []string
}

// Exec is `berth exec`.
func Exec() command.Command {
	return command.Command{
		Name: "exec", Group: command.GroupRun, Args: "CONTAINER COMMAND [ARG...]",
		Min: 2, Max: -1, ArgsEndFlags: true, Complete: command.Containers,
		Summary:  "Run a further command in a running container",
		Examples: []string{"berth exec -ti web sh", "berth exec -u nobody web id"},
		ExitCodes: `Exit codes:
  1    no such container, or it does not run
  125  wrong flags or arguments
  126  the command cannot be executed
  127  the command does not exist
  else  the command's own code`,
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o execOptions
			fs.BoolVarP(&o.detach, "detach", "d", false, "Do not wait for the command")
			fs.BoolVarP(&o.interactive, "interactive", "i", false, "Keep stdin open")
			fs.BoolVarP(&o.tty, "tty", "t", false, "Give the command a terminal")
			fs.BoolVar(&o.privileged, "privileged", false, "Give the command all capabilities")
			fs.StringVarP(&o.user, "user", "u", "", "User and group, NAME|UID[:GROUP|GID]")
			fs.StringVarP(&o.workdir, "workdir", "w", "", "Working directory in the container")
			fs.StringVar(&o.detachKeys, "detach-keys", session.DefaultDetachKeys, "Keys that leave the command running")
			fs.StringArrayVarP(&o.env, "env", "e", nil, "Set an environment variable, NAME=VALUE")
			fs.StringArrayVar(&o.envFiles, "env-file", nil, "Read environment variables from a file")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				return runExec(ctx, c, o, args)
			}
		},
	}
}

func runExec(ctx context.Context, c *command.CLI, o execOptions, args []string) error {
	keys, err := session.DetachKeys(o.detachKeys)
	if err != nil {
		return command.Code(command.BadInput, err)
	}
	env, err := request.Environment(o.envFiles, o.env)
	if err != nil {
		return command.Code(command.BadInput, err)
	}
	if err := checkName(args[0]); err != nil {
		return err
	}
	a := &attachment{cli: c, tty: o.tty, stdin: o.interactive && !o.detach, stdout: true, stderr: true, keys: keys}
	if err := a.checkTerminal(); err != nil {
		return err
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var size *[2]uint
	if h, w := session.Size(a.window()); h > 0 {
		size = &[2]uint{h, w}
	}
	var created client.IDResponse
	err = api.Post(ctx, "/containers/"+args[0]+"/exec", nil, client.ExecCreateRequest{
		User: o.user, Privileged: o.privileged, Tty: o.tty, ConsoleSize: size,
		AttachStdin: a.stdin, AttachStdout: !o.detach, AttachStderr: !o.detach,
		Env: env, WorkingDir: o.workdir, Cmd: args[1:],
	}, &created)
	if err != nil {
		return err
	}
	path := "/exec/" + created.ID
	if o.detach {
		return startError(api.Post(ctx, path+"/start", nil, client.ExecStartRequest{Detach: true, Tty: o.tty}, nil))
	}
	return a.exec(ctx, api, path, client.ExecStartRequest{Tty: o.tty, ConsoleSize: size})
}

// exec starts the process and stays until it ends. Signals are not forwarded, as
// docker's: the API has no way to signal an exec's process. A terminal sends
// Ctrl-C as a key.
func (a *attachment) exec(ctx context.Context, api *client.Client, path string, start client.ExecStartRequest) (err error) {
	ctx, signals := session.Catch(ctx)
	defer signals.Stop()
	defer func() { err = session.ExitOf(err) }()
	conn, err := api.Hijack(ctx, path+"/start", url.Values{"detachKeys": {"none"}}, start)
	if err != nil {
		return startError(err)
	}
	if err := a.raw(); err != nil {
		_ = conn.Close()
		return err
	}
	defer a.terminal.Restore()
	defer a.terminal.OnPanic()
	s := &session.Session{
		In: a.input, Out: a.cli.Out, Err: a.cli.Err, Keys: a.keys, TTY: a.tty, Terminal: a.terminal, Window: a.window(),
		Resize: func(ctx context.Context, h, w uint) error {
			return api.Post(ctx, path+"/resize", url.Values{"h": {fmt.Sprint(h)}, "w": {fmt.Sprint(w)}}, nil, nil)
		},
	}
	err = s.Run(ctx, conn)
	a.terminal.Restore()
	if errors.Is(err, session.ErrDetached) {
		return a.finish(ctx, api, nil, err)
	}
	if err != nil && ctx.Err() != nil || writeFailed(err) {
		return err
	}
	var i client.ExecInspect
	if err := api.Get(ctx, path+"/json", nil, &i); err != nil {
		return fmt.Errorf("berthd ended, so the command's exit code is not known: %w", err)
	}
	switch {
	case i.Running || i.ExitCode == nil:
		return errors.New("the command's output ended, but the command goes on")
	case *i.ExitCode != 0:
		return &command.Exit{Code: *i.ExitCode}
	}
	return nil
}
