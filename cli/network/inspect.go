package network

import (
	"context"
	"encoding/json"

	"berth/cli/command"
	"berth/cli/format"

	"github.com/spf13/pflag"
)

// Inspect is `berth network inspect`.
func Inspect() command.Command {
	return command.Command{
		Name: "network inspect", Group: command.GroupNetwork, Args: "NETWORK [NETWORK...]", Min: 1, Max: -1,
		Complete: command.Networks,
		Summary:  "Print all that is known of networks, as JSON",
		Examples: []string{"berth network inspect bridge", `berth network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' bridge`},
		Setup: func(fs *pflag.FlagSet) command.Func {
			template := fs.StringP("format", "f", "", "A Go template or json")
			fs.BoolP("verbose", "v", false, "Accepted for docker's sake: all is always shown")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				return runInspect(ctx, c, *template, args)
			}
		},
	}
}

func runInspect(ctx context.Context, c *command.CLI, template string, args []string) error {
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	found := []any{}
	failed := command.Each(c, args, func(name string) error {
		if err := checkName(name); err != nil {
			return err
		}
		var data []byte
		if err := api.Get(ctx, "/networks/"+name, nil, &data); err != nil {
			return err
		}
		if template == "" {
			found = append(found, json.RawMessage(data)) // the daemon's order of fields
			return nil
		}
		v, err := format.Decode(data)
		if err != nil {
			return err
		}
		return format.Value(c.Out, template, v)
	})
	if template == "" {
		if err := format.JSON(c.Out, found); err != nil {
			return err
		}
	}
	return failed
}
