package network

import (
	"context"
	"net/url"
	"sort"
	"strconv"

	"berth/cli/command"
	"berth/cli/format"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

type listOptions struct {
	quiet, noTrunc bool
	format         string
	filters        []string
}

// List is `berth network ls`.
func List() command.Command {
	return command.Command{
		Name: "network ls", Group: command.GroupNetwork,
		Summary:  "List networks",
		Help:     "Fields of --format: .ID .Name .Driver .Scope .IPv4 .IPv6 .Internal .Labels .Label \"name\" .CreatedAt",
		Examples: []string{"berth network ls", "berth network ls -q --filter driver=bridge", `berth network ls --format '{{.Name}} {{.Internal}}'`},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o listOptions
			fs.BoolVarP(&o.quiet, "quiet", "q", false, "Only ids")
			fs.BoolVar(&o.noTrunc, "no-trunc", false, "Do not shorten")
			fs.StringVar(&o.format, "format", "", "A Go template, \"table TEMPLATE\" or json")
			fs.StringArrayVarP(&o.filters, "filter", "f", nil, "Only those with NAME=VALUE, as name=back, type=custom, dangling=true")
			return func(ctx context.Context, c *command.CLI, _ []string) error { return runList(ctx, c, o) }
		},
	}
}

func runList(ctx context.Context, c *command.CLI, o listOptions) error {
	q := url.Values{}
	if err := format.Filters(q, o.filters); err != nil {
		return err
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var list []network.Summary
	if err := api.Get(ctx, "/networks", q, &list); err != nil {
		return err
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	rows := make([]format.Row, len(list))
	for i := range list {
		rows[i] = row(&list[i], o.noTrunc)
	}
	l := format.List{
		Format:  o.format,
		Columns: []string{"ID", "Name", "Driver", "Scope"},
		Headers: map[string]string{
			"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
			"Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
		},
	}
	if o.quiet {
		l.Quiet = "ID"
	}
	return l.Print(c.Out, rows)
}

func row(n *network.Summary, whole bool) format.Row {
	id := n.ID
	if !whole {
		id = format.ShortID(id)
	}
	return format.Row{
		"ID": id, "Name": n.Name, "Driver": n.Driver, "Scope": n.Scope, "Labels": format.Labels(n.Labels),
		"IPv4": strconv.FormatBool(n.EnableIPv4), "IPv6": strconv.FormatBool(n.EnableIPv6),
		"Internal": strconv.FormatBool(n.Internal), "CreatedAt": n.Created.String(),
	}
}
