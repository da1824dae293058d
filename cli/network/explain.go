package network

import (
	"context"
	"net/url"

	"berth/cli/command"
	"berth/cli/format"

	"github.com/spf13/pflag"
)

// Explain is `berth network explain`.
func Explain() command.Command {
	return command.Command{
		Name: "network explain", Group: command.GroupNetwork, Args: "CONTAINER", Min: 1, Max: 1,
		Complete: command.Containers,
		Summary:  "Print who reaches a running container and what it reaches, and why",
		Help: `
Each line says yes or no, and the rule of the nftables table that decides, as
nft list table inet berth shows it; what the table is to hold is looked for in the
kernel. perhaps: berth lets it pass, and a chain of the host's own rules, which are
listed at the end, may drop it.`,
		Examples: []string{
			"berth network explain web",
			"berth network explain --format json web",
			`berth network explain -f '{{range .Problems}}{{println .}}{{end}}' web`,
		},
		Setup: func(fs *pflag.FlagSet) command.Func {
			template := fs.StringP("format", "f", "", "A Go template or json")
			return func(ctx context.Context, c *command.CLI, args []string) error {
				return runExplain(ctx, c, *template, args[0])
			}
		},
	}
}

func runExplain(ctx context.Context, c *command.CLI, template, name string) error {
	if checkName(name) != nil {
		return command.BadUsage("%q is no name or id of a container: 'berth ps' lists them", name)
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	q := url.Values{}
	if template != "" {
		q.Set("format", "json")
	}
	var data []byte
	if err := api.Get(ctx, "/containers/"+name+"/explain/network", q, &data); err != nil {
		return err
	}
	if template == "" {
		_, err = c.Out.Write(data)
		return err
	}
	v, err := format.Decode(data)
	if err != nil {
		return err
	}
	return format.Value(c.Out, template, v)
}
