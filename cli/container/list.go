package container

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/cli/command"
	"berth/cli/format"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"
)

type listOptions struct {
	all, quiet, noTrunc, size, latest bool
	last                              int
	format                            string
	filters                           []string
}

// List is `berth ps`.
func List() command.Command {
	return command.Command{
		Name: "ps", Group: command.GroupWatch,
		Summary:  "List containers",
		Help:     "Fields of --format: .ID .Image .Command .CreatedAt .RunningFor .Ports .State .Status .Size .Names .Labels .Label \"name\" .Mounts .Networks",
		Examples: []string{"berth ps -a", "berth ps -q --filter status=exited", `berth ps --format 'table {{.Names}}\t{{.Status}}'`},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o listOptions
			fs.BoolVarP(&o.all, "all", "a", false, "Also those that do not run")
			fs.BoolVarP(&o.quiet, "quiet", "q", false, "Only ids")
			fs.BoolVar(&o.noTrunc, "no-trunc", false, "Do not shorten")
			fs.BoolVarP(&o.size, "size", "s", false, "Show the size of the writable layers")
			fs.BoolVarP(&o.latest, "latest", "l", false, "Only the one created last")
			fs.IntVarP(&o.last, "last", "n", -1, "Only so many created last")
			fs.StringVar(&o.format, "format", "", "A Go template, \"table TEMPLATE\" or json")
			fs.StringArrayVarP(&o.filters, "filter", "f", nil, "Only those with NAME=VALUE, as status=exited, name=web, label=a=b")
			return func(ctx context.Context, c *command.CLI, _ []string) error { return runList(ctx, c, o) }
		},
	}
}

// summary is the part of container.Summary that the list shows.
type summary struct {
	ID              string `json:"Id"`
	Names           []string
	Image           string
	Command         string
	Created         int64 // seconds since 1970
	Labels          map[string]string
	State           string
	Status          string
	SizeRw          int64
	SizeRootFs      int64
	Ports           []format.Port
	Mounts          []struct{ Name, Source string }
	NetworkSettings struct {
		Networks map[string]any
	}
}

func runList(ctx context.Context, c *command.CLI, o listOptions) error {
	q := url.Values{}
	if o.latest {
		o.last = 1
	}
	if o.last > 0 {
		q.Set("limit", strconv.Itoa(o.last))
		o.all = true
	}
	if o.all {
		q.Set("all", "1")
	}
	if o.size {
		q.Set("size", "1")
	}
	if err := format.Filters(q, o.filters); err != nil {
		return err
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var list []summary
	if err := api.Get(ctx, "/containers/json", q, &list); err != nil {
		return err
	}
	rows := make([]format.Row, len(list))
	for i := range list {
		rows[i] = list[i].row(o.noTrunc)
	}
	l := format.List{
		Format:  o.format,
		Columns: []string{"ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"},
		Headers: map[string]string{
			"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
			"RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE",
			"Names": "NAMES", "Labels": "LABELS", "Mounts": "MOUNTS", "Networks": "NETWORKS",
			"LocalVolumes": "LOCAL VOLUMES",
		},
	}
	if o.size {
		l.Columns = append(l.Columns, "Size")
	}
	if o.quiet {
		l.Quiet = "ID"
	}
	return l.Print(c.Out, rows)
}

func (s *summary) row(whole bool) format.Row {
	id, image, cmd := s.ID, s.Image, s.Command
	if !whole {
		id, cmd = format.ShortID(id), format.Ellipsis(cmd, 20)
		if strings.HasPrefix(image, "sha256:") {
			image = format.ShortID(image)
		}
	}
	names := make([]string, len(s.Names))
	for i, n := range s.Names {
		names[i] = strings.TrimPrefix(n, "/")
	}
	mounts := make([]string, len(s.Mounts))
	for i, m := range s.Mounts {
		mounts[i] = m.Name
		if m.Name == "" {
			mounts[i] = m.Source
		}
	}
	networks := make(map[string]string, len(s.NetworkSettings.Networks))
	for n := range s.NetworkSettings.Networks {
		networks[n] = ""
	}
	created := time.Unix(s.Created, 0)
	return format.Row{
		"ID": id, "Image": image, "Command": strconv.Quote(cmd),
		"CreatedAt": created.Format("2006-01-02 15:04:05 -0700 MST"), "RunningFor": format.Ago(created),
		"Ports": format.Ports(s.Ports), "State": s.State, "Status": s.Status,
		"Size":  units.HumanSizeWithPrecision(float64(s.SizeRw), 3) + " (virtual " + format.Size(s.SizeRootFs) + ")",
		"Names": strings.Join(names, ","), "Labels": format.Labels(s.Labels),
		"Mounts": strings.Join(mounts, ","), "LocalVolumes": "0",
		"Networks": strings.ReplaceAll(format.Labels(networks), "=", ""),
	}
}
