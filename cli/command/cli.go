package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"berth/cli/client"
	"berth/cli/launch"

	"github.com/moby/term"
)

// CLI is what a command is given: its streams, its settings and the way to the daemon.
type CLI struct {
	In       io.Reader
	Out, Err io.Writer
	// Version is the version of this build.
	Version string
	// Settings say where the daemon is; flags before the command change them.
	Settings launch.Settings

	client *client.Client
}

// Client connects to berthd, which is started if it does not run. The first call
// connects; later calls return the same client.
func (c *CLI) Client(ctx context.Context) (*client.Client, error) {
	if c.client != nil {
		return c.client, nil
	}
	api := client.New(c.Settings.Socket(), "berth/"+c.Version)
	var told sync.Once
	api.OnServer = func(server string) {
		v, ok := strings.CutPrefix(server, "berth/")
		if ok && v != c.Version {
			told.Do(func() {
				c.Warn(fmt.Errorf("berthd %s runs, but this is berth %s: stop berthd, and the next command starts the new one; containers go on", v, c.Version))
			})
		}
	}
	if err := launch.Ensure(ctx, api, c.Settings); err != nil {
		return nil, err
	}
	c.client = api
	return api, nil
}

// Reconnect connects the client again after its daemon was lost.
func (c *CLI) Reconnect(ctx context.Context) error {
	return launch.Again(ctx, c.client, c.Settings)
}

// Warn prints an error that does not end the command.
func (c *CLI) Warn(err error) {
	fmt.Fprintf(c.Err, "berth: %s\n", strings.TrimSpace(err.Error()))
}

// Terminal returns the file of a stream that is a terminal, else nil.
func Terminal(stream any) *os.File {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(f.Fd()) {
		return nil
	}
	return f
}

// Width is the number of columns of the terminal behind a stream, 0 if it is none.
func Width(stream any) int {
	f := Terminal(stream)
	if f == nil {
		return 0
	}
	size, err := term.GetWinsize(f.Fd())
	if err != nil {
		return 0
	}
	return int(size.Width)
}
