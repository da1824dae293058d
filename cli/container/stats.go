package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"berth/cli/client"
	"berth/cli/command"
	"berth/cli/format"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
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

// usage is the part of container.StatsResponse that is shown.
type usage struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Read         string   `json:"read"`
	PreRead      string   `json:"preread"`
	CPU          cpuUsage `json:"cpu_stats"`
	PreCPU       cpuUsage `json:"precpu_stats"`
	MemoryStats  memUsage `json:"memory_stats"`
	BlockIOStats struct {
		Bytes []struct {
			Op    string `json:"op"`
			Value uint64 `json:"value"`
		} `json:"io_service_bytes_recursive"`
	} `json:"blkio_stats"`
	PIDs struct {
		Current uint64 `json:"current"`
	} `json:"pids_stats"`
	Networks map[string]struct {
		Received uint64 `json:"rx_bytes"`
		Sent     uint64 `json:"tx_bytes"`
	} `json:"networks"`
}

type cpuUsage struct {
	Usage struct {
		Total uint64 `json:"total_usage"` // nanoseconds
	} `json:"cpu_usage"`
	System uint64 `json:"system_cpu_usage"` // nanoseconds of all processors
	Online uint64 `json:"online_cpus"`
}

type memUsage struct {
	Usage uint64            `json:"usage"`
	Limit uint64            `json:"limit"`
	Stats map[string]uint64 `json:"stats"`
}

// used leaves the page cache out that the kernel can drop at once, as docker does.
func (m *memUsage) used() uint64 {
	for _, name := range []string{"total_inactive_file", "inactive_file"} { // v1, v2
		if cache := m.Stats[name]; cache != 0 && cache < m.Usage {
			return m.Usage - cache
		}
	}
	return m.Usage
}

// cpuPercent is the processor time between the two readings; 100 is one whole
// processor.
func (u *usage) cpuPercent() float64 {
	used := float64(u.CPU.Usage.Total) - float64(u.PreCPU.Usage.Total)
	system := float64(u.CPU.System) - float64(u.PreCPU.System)
	if used <= 0 || u.PreCPU.Usage.Total == 0 {
		return 0
	}
	if system > 0 && u.CPU.Online > 0 {
		return used / system * float64(u.CPU.Online) * 100
	}
	read, err := time.Parse(time.RFC3339Nano, u.Read)
	before, errBefore := time.Parse(time.RFC3339Nano, u.PreRead)
	if err != nil || errBefore != nil || !read.After(before) {
		return 0
	}
	return used / float64(read.Sub(before)) * 100
}

func (u *usage) row(asked string, whole bool) format.Row {
	id := u.ID
	if !whole {
		id, asked = format.ShortID(id), shortHex(asked)
	}
	var read, written, received, sent uint64
	for _, b := range u.BlockIOStats.Bytes {
		switch strings.ToLower(b.Op) {
		case "read":
			read += b.Value
		case "write":
			written += b.Value
		}
	}
	for _, n := range u.Networks {
		received += n.Received
		sent += n.Sent
	}
	used, percent := u.MemoryStats.used(), 0.0
	if u.MemoryStats.Limit > 0 {
		percent = float64(used) / float64(u.MemoryStats.Limit) * 100
	}
	return format.Row{
		"Container": asked, "ID": id, "Name": strings.TrimPrefix(u.Name, "/"),
		"CPUPerc":  fmt.Sprintf("%.2f%%", u.cpuPercent()),
		"MemUsage": units.BytesSize(float64(used)) + " / " + units.BytesSize(float64(u.MemoryStats.Limit)),
		"MemPerc":  fmt.Sprintf("%.2f%%", percent),
		"NetIO":    format.Size(int64(received)) + " / " + format.Size(int64(sent)),
		"BlockIO":  format.Size(int64(read)) + " / " + format.Size(int64(written)),
		"PIDs":     fmt.Sprint(u.PIDs.Current),
	}
}

// shortHex shortens a whole id and leaves a name as it is.
func shortHex(s string) string {
	if len(s) == 64 {
		return format.ShortID(s)
	}
	return s
}
