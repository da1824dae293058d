package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	"berth/cli/client"
	"berth/cli/command"
	"berth/cli/format"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

type statsOptions struct {
	all, once, noTrunc bool
	format             string
}

// Stats is `berth stats`.
func Stats() command.Command {
	return command.Command{
		Name: "stats", Group: command.GroupWatch, Args: "[CONTAINER...]", Max: -1,
		Complete: command.Containers,
		Summary:  "Show what containers use, as their cgroups count it",
		Help:     "Fields of --format: .Container .ID .Name .CPUPerc .MemUsage .MemPerc .NetIO .BlockIO .PIDs",
		Examples: []string{"berth stats", "berth stats --no-stream web"},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o statsOptions
			fs.BoolVarP(&o.all, "all", "a", false, "Also those that do not run")
			fs.BoolVar(&o.once, "no-stream", false, "Print once and end")
			fs.BoolVar(&o.noTrunc, "no-trunc", false, "Do not shorten")
			fs.StringVar(&o.format, "format", "", "A Go template, \"table TEMPLATE\" or json")
			return func(ctx context.Context, c *command.CLI, args []string) error { return runStats(ctx, c, o, args) }
		},
	}
}

// statsInterval is the time between two pictures of a stream.
const statsInterval = 500 * time.Millisecond

func runStats(ctx context.Context, c *command.CLI, o statsOptions, args []string) error {
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	for _, name := range args {
		if err := checkName(name); err != nil {
			return err
		}
	}
	tick := time.NewTicker(statsInterval)
	defer tick.Stop()
	for first := true; ; first = false {
		names, err := statsNames(ctx, api, o, args)
		if err != nil {
			return err
		}
		rows, err := sample(ctx, api, o, names, len(args) > 0)
		if err != nil {
			return err
		}
		if command.Terminal(c.Out) != nil && !o.once {
			if first {
				fmt.Fprint(c.Out, "\x1b[2J") // erase the screen
			}
			fmt.Fprint(c.Out, "\x1b[H\x1b[J") // to the corner, erase what is below
		}
		if err := printStats(c.Out, o, rows); err != nil || o.once {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func statsNames(ctx context.Context, api *client.Client, o statsOptions, args []string) ([]string, error) {
	if len(args) > 0 {
		return args, nil
	}
	q := url.Values{}
	if o.all {
		q.Set("all", "1")
	}
	var list []summary
	if err := api.Get(ctx, "/containers/json", q, &list); err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].ID
	}
	return names, nil
}

// sample asks for all containers at once, since each answer takes the second
// between two readings of the processor's time. A container that has gone
// meanwhile is left out, unless it was asked for by name.
func sample(ctx context.Context, api *client.Client, o statsOptions, names []string, named bool) ([]format.Row, error) {
	const atOnce = 32
	rows := make([]format.Row, len(names))
	errs := make([]error, len(names))
	slots := make(chan struct{}, atOnce)
	var asked sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		asked.Add(1)
		go func() {
			defer func() { <-slots; asked.Done() }()
			var data []byte
			err := api.Get(ctx, "/containers/"+name+"/stats", url.Values{"stream": {"0"}}, &data)
			if errors.Is(err, errdefs.ErrNotFound) && !named {
				return
			}
			var u usage
			if err == nil {
				err = json.Unmarshal(data, &u)
			}
			rows[i], errs[i] = u.row(name, o.noTrunc), err
		}()
	}
	asked.Wait()
	kept := rows[:0]
	for _, r := range rows {
		if r != nil {
			kept = append(kept, r)
		}
	}
	return kept, errors.Join(errs...)
}

func printStats(w io.Writer, o statsOptions, rows []format.Row) error {
	l := format.List{
		Format:  o.format,
		Columns: []string{"ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"},
		Headers: map[string]string{
			"Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %",
			"MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
		},
	}
	if err := l.Print(w, rows); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
