package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"berth/cli/client"
	"berth/cli/command"
	"berth/cli/format"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

type inspectOptions struct {
	format, kind string
	size         bool
}

// Inspect is `berth inspect`.
func Inspect() command.Command {
	return command.Command{
		Name: "inspect", Group: command.GroupWatch, Args: "NAME [NAME...]", Min: 1, Max: -1,
		Complete: command.Containers,
		Summary:  "Print all that is known of containers or images, as JSON",
		Examples: []string{"berth inspect web", `berth inspect -f '{{.State.ExitCode}}' web`},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o inspectOptions
			fs.StringVarP(&o.format, "format", "f", "", "A Go template or json")
			fs.StringVar(&o.kind, "type", "", "Only look for a container or an image")
			fs.BoolVarP(&o.size, "size", "s", false, "Show sizes of containers")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				return runInspect(ctx, c, o, args)
			}
		},
	}
}

func runInspect(ctx context.Context, c *command.CLI, o inspectOptions, args []string) error {
	if o.kind != "" && o.kind != "container" && o.kind != "image" {
		return command.BadUsage("invalid --type %q: give container or image", o.kind)
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var found []any
	failed := command.Each(c, args, func(name string) error {
		v, err := inspectAny(ctx, api, o, name)
		if err != nil {
			return err
		}
		if o.format != "" {
			return format.Value(c.Out, o.format, v)
		}
		found = append(found, v)
		return nil
	})
	if o.format == "" {
		if found == nil {
			found = []any{}
		}
		if err := format.JSON(c.Out, found); err != nil {
			return err
		}
	}
	return failed
}

// inspectAny looks for a container, then for an image, of that name.
func inspectAny(ctx context.Context, api *client.Client, o inspectOptions, name string) (any, error) {
	q := url.Values{}
	if o.size {
		q.Set("size", "1")
	}
	var data []byte
	err := error(errdefs.ErrNotFound)
	if o.kind != "image" && checkName(name) == nil {
		err = api.Get(ctx, "/containers/"+name+"/json", q, &data)
	}
	if o.kind != "container" && errors.Is(err, errdefs.ErrNotFound) {
		err = api.Get(ctx, "/images/"+name+"/json", nil, &data)
	}
	if errors.Is(err, errdefs.ErrNotFound) && o.kind == "" {
		return nil, notFound(name)
	}
	if err != nil {
		return nil, err
	}
	if o.format == "" {
		return json.RawMessage(data), nil // the daemon's order of fields
	}
	return format.Decode(data)
}

func notFound(name string) error {
	return fmt.Errorf("no container and no image is called %q: see 'berth ps -a' and 'berth images'", name)
}
