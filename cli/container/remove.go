package container

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"berth/cli/client"
	"berth/cli/command"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

// Remove is `berth rm`.
func Remove() command.Command {
	return command.Command{
		Name: "rm", Group: command.GroupRun, Args: "CONTAINER [CONTAINER...]", Min: 1, Max: -1,
		Complete: command.Containers,
		Summary:  "Remove containers",
		Examples: []string{"berth rm web", "berth rm -f $(berth ps -aq)"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			force := fs.BoolP("force", "f", false, "Kill a container that runs; one that does not exist is no error")
			volumes := fs.BoolP("volumes", "v", false, "Remove its anonymous volumes as well")
			return each(func(ctx context.Context, api *client.Client, name string) error {
				q := url.Values{}
				if *force {
					q.Set("force", "1")
				}
				if *volumes {
					q.Set("v", "1")
				}
				err := api.Call(ctx, "DELETE", "/containers/"+name, q, nil, nil)
				if *force && errors.Is(err, errdefs.ErrNotFound) {
					return fmt.Errorf("%w: %w", errNothingToDo, err)
				}
				return err
			})
		},
	}
}
