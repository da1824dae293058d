package container

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"syscall"

	"berth/cli/client"
	"berth/cli/command"
	"berth/cli/format"
	"berth/cli/session"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
)

// attachment is the command line's side of one container from before its start
// to its end: run, start --attach and attach.
type attachment struct {
	cli                   *command.CLI
	id                    string
	tty                   bool
	stdin, stdout, stderr bool
	keys                  []byte
	sigProxy              bool
	autoRemove            bool
	memory                int64 // the limit, for the words about an OOM kill
	// logs asks for the output so far as well.
	logs bool

	terminal *session.Terminal
	input    *session.Input
}

// begin says how the container comes to run.
type begin int

const (
	startCreated begin = iota // this attachment created it: a failed start removes it if --rm was given
	startExisting
	alreadyRunning
)

// maxReconnects bounds how often one attachment survives the daemon.
const maxReconnects = 5

// checkTerminal refuses -t with an input that is no terminal: keys would not be
// what the command expects.
func (a *attachment) checkTerminal() error {
	if a.tty && a.stdin && command.Terminal(a.cli.In) == nil {
		return command.BadUsage("the input device is not a TTY: leave out -t, or run it in a terminal")
	}
	return nil
}

// window is the terminal whose size the container's terminal takes.
func (a *attachment) window() *os.File {
	if !a.tty {
		return nil
	}
	if f := command.Terminal(a.cli.Out); f != nil {
		return f
	}
	return command.Terminal(a.cli.In)
}

func (a *attachment) path(verb string) string { return "/containers/" + a.id + "/" + verb }

// run attaches, starts the container if it does not run yet, and stays until it
// ends. Its error carries the container's exit code.
func (a *attachment) run(ctx context.Context, api *client.Client, how begin) (err error) {
	ctx, signals := session.Catch(ctx)
	defer signals.Stop()
	defer func() { err = session.ExitOf(err) }()

	conn, wait, err := a.join(ctx, api, how)
	if err != nil {
		return a.abandon(ctx, api, how, err)
	}
	if how != alreadyRunning {
		if err := api.Post(ctx, a.path("start"), nil, nil, nil); err != nil {
			_, _ = conn.Close(), wait.Close() // nothing came over them
			return a.abandon(ctx, api, how, startError(err))
		}
	}
	if err := a.raw(); err != nil {
		_, _ = conn.Close(), wait.Close()
		return err
	}
	defer a.terminal.Restore()
	defer a.terminal.OnPanic()
	if a.sigProxy {
		signals.Forward(a.forward(ctx, api), a.tty)
	}
	for try := 0; ; try++ {
		result, err := a.stay(ctx, api, conn, wait)
		if !client.IsLost(err) || try == maxReconnects {
			a.terminal.Restore()
			return a.finish(ctx, api, result, err)
		}
		conn, wait, result, err = a.reconnect(ctx, api)
		if conn == nil {
			a.terminal.Restore()
			return a.finish(ctx, api, result, err)
		}
	}
}

// join opens the two long requests: the streams, and the wait for the end.
func (a *attachment) join(ctx context.Context, api *client.Client, how begin) (*client.Hijacked, *client.Answer, error) {
	q := url.Values{"stream": {"1"}, "detachKeys": {"none"}} // we look for the keys ourselves
	for name, on := range map[string]bool{"stdin": a.stdin, "stdout": a.stdout, "stderr": a.stderr, "logs": a.logs} {
		if on {
			q.Set(name, "1")
		}
	}
	conn, err := api.Hijack(ctx, a.path("attach"), q, nil)
	if err != nil {
		return nil, nil, err
	}
	condition := "not-running"
	switch {
	case a.autoRemove:
		condition = "removed"
	case how != alreadyRunning:
		condition = "next-exit"
	}
	// The answer's header comes when the wait is registered, before the start.
	wait, err := api.Stream(ctx, "POST", a.path("wait"), url.Values{"condition": {condition}}, nil)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, wait, nil
}

// abandon undoes a creation that did not lead to a running container.
func (a *attachment) abandon(ctx context.Context, api *client.Client, how begin, err error) error {
	if how != startCreated || !a.autoRemove {
		return err
	}
	// The context may be what ended; the removal must not be cut short by it.
	ctx = context.WithoutCancel(ctx)
	remove := func() error {
		return api.Call(ctx, "DELETE", "/containers/"+a.id, url.Values{"force": {"1"}}, nil, nil)
	}
	rm := remove()
	if client.IsLost(err) || client.IsLost(rm) { // what failed may be berthd itself
		if rm = a.cli.Reconnect(ctx); rm == nil {
			rm = remove()
		}
	}
	if rm != nil && !errors.Is(rm, errdefs.ErrNotFound) && !errors.Is(rm, errdefs.ErrConflict) {
		a.cli.Warn(fmt.Errorf("remove the container that did not start: %w", rm))
	}
	return err
}

// raw hands the terminal to the container.
func (a *attachment) raw() (err error) {
	f := command.Terminal(a.cli.In)
	if a.tty && a.stdin && f != nil {
		if a.terminal, err = session.Raw(f); err != nil {
			return err
		}
	}
	if a.stdin {
		a.input = session.NewInput(a.cli.In, a.terminal)
	}
	return nil
}

// forward returns the function that sends a signal to the container. That the
// container has ended meanwhile is no error worth a word.
func (a *attachment) forward(ctx context.Context, api *client.Client) func(syscall.Signal) {
	return func(s syscall.Signal) {
		q := url.Values{"signal": {fmt.Sprint(int(s))}}
		err := api.Post(ctx, a.path("kill"), q, nil, nil)
		if err != nil && !errors.Is(err, errdefs.ErrNotFound) && !errors.Is(err, errdefs.ErrConflict) && !client.IsLost(err) {
			a.cli.Warn(fmt.Errorf("send %s to the container: %w", s, err))
		}
	}
}

// stay copies until the output ends, then takes the container's exit.
func (a *attachment) stay(ctx context.Context, api *client.Client, conn *client.Hijacked, wait *client.Answer) (*client.WaitResponse, error) {
	defer wait.Close()
	s := &session.Session{
		In: a.input, Keys: a.keys, TTY: a.tty, Terminal: a.terminal, Window: a.window(),
		Resize: func(ctx context.Context, h, w uint) error {
			return api.Post(ctx, a.path("resize"), url.Values{"h": {fmt.Sprint(h)}, "w": {fmt.Sprint(w)}}, nil, nil)
		},
	}
	if a.stdout {
		s.Out = a.cli.Out
	}
	if a.stderr {
		s.Err = a.cli.Err
	}
	err := s.Run(ctx, conn)
	if errors.Is(err, session.ErrDetached) || ctx.Err() != nil || writeFailed(err) {
		return nil, err
	}
	// The streams end with the container or with the daemon: the wait tells which.
	var result client.WaitResponse
	if err := wait.Decode(&result); err != nil {
		return nil, err
	}
	return &result, nil
}

// writeFailed tells an error of our own output, as a pipe that nobody reads.
func writeFailed(err error) bool {
	var p *os.PathError
	return errors.As(err, &p) && p.Op == "write"
}

// finish turns the end of the session into berth's exit.
func (a *attachment) finish(ctx context.Context, api *client.Client, result *client.WaitResponse, err error) error {
	switch {
	case errors.Is(err, session.ErrDetached):
		fmt.Fprintln(a.cli.Err, "\nread escape sequence: the container goes on")
		return nil
	case err != nil:
		return err
	case result.Error != nil && result.Error.Message != "":
		return errors.New(result.Error.Message)
	case result.StatusCode == 0:
		return nil
	}
	if result.StatusCode == 137 {
		a.explainKill(ctx, api, result.OOMKilled)
	}
	return &command.Exit{Code: result.StatusCode}
}

// explainKill says so when the kernel killed the container for want of memory.
func (a *attachment) explainKill(ctx context.Context, api *client.Client, oom bool) {
	if !oom {
		var i client.Inspect
		if api.Get(ctx, a.path("json"), nil, &i) != nil || !i.State.OOMKilled {
			return // it is gone, or somebody killed it on purpose
		}
	}
	fmt.Fprintf(a.cli.Err, "berth: container %s was killed because it ran out of memory%s\n", format.ShortID(a.id), memoryHint(a.memory))
}

func memoryHint(limit int64) string {
	if limit == 0 {
		return ""
	}
	return fmt.Sprintf(": its limit is %s, raise it with --memory", units.BytesSize(float64(limit)))
}

// startError gives a failed start docker's exit code.
func startError(err error) error {
	var e *client.Error
	if errors.As(err, &e) && e.ExitCode != 0 {
		return &command.Exit{Code: e.ExitCode, Err: err}
	}
	return err
}

// reconnect joins the container again through the daemon that replaces the one
// that was lost. With a nil connection, the container has ended with result, or
// err says why its end cannot be told.
func (a *attachment) reconnect(ctx context.Context, api *client.Client) (*client.Hijacked, *client.Answer, *client.WaitResponse, error) {
	newline := "\n"
	if a.terminal != nil {
		newline = "\r\n"
	}
	fmt.Fprint(a.cli.Err, newline+"berth: berthd ended; joining the container again"+newline)
	var i client.Inspect
	var err error
	for try := 0; ; try++ {
		if err := a.cli.Reconnect(ctx); err != nil {
			return nil, nil, nil, fmt.Errorf("berthd ended, and container %s may go on without it: %w", format.ShortID(a.id), err)
		}
		// A socket takes connections for a moment after its daemon was killed.
		if err = api.Get(ctx, a.path("json"), nil, &i); !client.IsLost(err) || try == maxReconnects {
			break
		}
	}
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil, nil, nil, fmt.Errorf("berthd ended, and container %s was removed before its exit code could be read", format.ShortID(a.id))
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("berthd ended, and container %s cannot be looked at: %w", format.ShortID(a.id), err)
	}
	if !i.State.Running {
		return nil, nil, &client.WaitResponse{StatusCode: i.State.ExitCode}, nil
	}
	conn, wait, err := a.join(ctx, api, alreadyRunning)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("join container %s again: %w", format.ShortID(a.id), err)
	}
	return conn, wait, nil, nil
}
