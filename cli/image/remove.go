package image

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"berth/cli/command"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

// Remove is `berth rmi`.
func Remove() command.Command {
	return command.Command{
		Name: "rmi", Group: command.GroupImage, Args: "IMAGE [IMAGE...]", Min: 1, Max: -1,
		Complete: command.Images,
		Summary:  "Remove names of images, and images without a name",
		Examples: []string{"berth rmi debian:12", "berth rmi -f $(berth images -q)"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			force := fs.BoolP("force", "f", false, "Also an image that stopped containers use; one that does not exist is no error")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				api, err := c.Client(ctx)
				if err != nil {
					return err
				}
				q := url.Values{}
				if *force {
					q.Set("force", "1")
				}
				return command.Each(c, args, func(name string) error {
					if err := checkName(name); err != nil {
						return err
					}
					var gone []struct{ Untagged, Deleted string }
					err := api.Call(ctx, "DELETE", "/images/"+name, q, nil, &gone)
					if *force && errors.Is(err, errdefs.ErrNotFound) {
						c.Warn(err)
						return nil
					}
					for _, g := range gone {
						if g.Untagged != "" {
							fmt.Fprintln(c.Out, "Untagged:", g.Untagged)
						}
						if g.Deleted != "" {
							fmt.Fprintln(c.Out, "Deleted:", g.Deleted)
						}
					}
					return err
				})
			}
		},
	}
}
