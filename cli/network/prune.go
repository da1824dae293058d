package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"berth/cli/command"
	"berth/cli/format"

	"github.com/moby/moby/api/types/network"
	"github.com/spf13/pflag"
)

type pruneOptions struct {
	force   bool
	filters []string
}

// Prune is `berth network prune`.
func Prune() command.Command {
	return command.Command{
		Name: "network prune", Group: command.GroupNetwork,
		Summary:  "Remove all networks that no container is in",
		Help:     "The networks bridge, host and none stay.",
		Examples: []string{"berth network prune", "berth network prune -f --filter until=24h"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o pruneOptions
			fs.BoolVarP(&o.force, "force", "f", false, "Do not ask")
			fs.StringArrayVar(&o.filters, "filter", nil, "Only those with NAME=VALUE, as until=24h, label=a, label!=b")
			return func(ctx context.Context, c *command.CLI, _ []string) error { return runPrune(ctx, c, o) }
		},
	}
}

func runPrune(ctx context.Context, c *command.CLI, o pruneOptions) error {
	q := url.Values{}
	if err := format.Filters(q, o.filters); err != nil {
		return err
	}
	if !o.force {
		if err := confirm(c); err != nil {
			return err
		}
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var report network.PruneReport
	if err := api.Post(ctx, "/networks/prune", q, nil, &report); err != nil {
		return err
	}
	if len(report.NetworksDeleted) > 0 {
		fmt.Fprintf(c.Out, "Deleted Networks:\n%s\n\n", strings.Join(report.NetworksDeleted, "\n"))
	}
	return nil
}

// confirm asks on stdout and reads the answer from stdin, as docker does.
func confirm(c *command.CLI) error {
	fmt.Fprint(c.Out, "WARNING! This will remove all networks that no container is in.\nAre you sure you want to continue? [y/N] ")
	line, _ := bufio.NewReader(c.In).ReadString('\n') // no answer is a no
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was removed: answer y, or give --force")
}
