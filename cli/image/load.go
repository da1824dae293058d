package image

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"

	"berth/cli/command"
	"berth/cli/progress"

	"github.com/spf13/pflag"
)

// Load is `berth load`.
func Load() command.Command {
	return command.Command{
		Name: "load", Group: command.GroupImage,
		Complete: command.Files,
		Summary:  "Take images from an archive: docker save's or an OCI layout's",
		Examples: []string{"berth load -i app.tar", "docker save app | berth load"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			path := fs.StringP("input", "i", "", "Archive to read instead of stdin")
			quiet := fs.BoolP("quiet", "q", false, "Do not show progress")
			return func(ctx context.Context, c *command.CLI, _ []string) error {
				return runLoad(ctx, c, *path, *quiet)
			}
		},
	}
}

func runLoad(ctx context.Context, c *command.CLI, path string, quiet bool) error {
	in := c.In
	if path != "" && path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("open the archive: %w", err)
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return command.BadUsage("%s is a directory: give an archive, as tar makes of it", path)
		}
		in = f
	} else if command.Terminal(in) != nil {
		return command.BadUsage("no archive: give --input FILE, or pipe one to berth load")
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	q := url.Values{}
	if quiet || command.Terminal(c.Out) == nil {
		q.Set("quiet", "1")
	}
	a, err := api.Upload(ctx, "/images/load", q, io.Reader(in))
	if err != nil {
		return err
	}
	defer a.Close()
	return progress.Show(a, c.Out)
}
