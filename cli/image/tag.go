package image

import (
	"context"
	"net/url"
	"strings"

	"berth/cli/command"

	"github.com/spf13/pflag"
)

// Tag is `berth tag`.
func Tag() command.Command {
	return command.Command{
		Name: "tag", Group: command.GroupImage, Args: "IMAGE NAME[:TAG]", Min: 2, Max: 2,
		Complete: command.Images,
		Summary:  "Give an image a further name",
		Examples: []string{"berth tag toolbox localhost:5000/toolbox:1"},
		Setup: func(*pflag.FlagSet) command.Func {
			return func(ctx context.Context, c *command.CLI, args []string) error {
				if err := checkName(args[0]); err != nil {
					return err
				}
				api, err := c.Client(ctx)
				if err != nil {
					return err
				}
				repository, tag := args[1], ""
				if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
					repository, tag = repository[:i], repository[i+1:]
				}
				q := url.Values{"repo": {repository}}
				if tag != "" {
					q.Set("tag", tag)
				}
				return api.Post(ctx, "/images/"+args[0]+"/tag", q, nil, nil)
			}
		},
	}
}

// checkName refuses what would make another path of a request's path.
func checkName(name string) error {
	for _, part := range strings.Split(name, "/") {
		if part == "" || part == "." || part == ".." {
			return command.BadUsage("%q is no name of an image: 'berth images' lists them", name)
		}
	}
	return nil
}
