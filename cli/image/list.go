package image

import (
	"context"
	"net/url"
	"sort"
	"strings"
	"time"

	"berth/cli/command"
	"berth/cli/format"

	"github.com/spf13/pflag"
)

type listOptions struct {
	all, quiet, noTrunc, digests bool
	format                       string
	filters                      []string
}

// List is `berth images`.
func List() command.Command {
	return command.Command{
		Name: "images", Group: command.GroupImage, Args: "[REPOSITORY[:TAG]]", Max: 1,
		Complete: command.Images,
		Summary:  "List images",
		Help:     "Fields of --format: .ID .Repository .Tag .Digest .CreatedSince .CreatedAt .Size",
		Examples: []string{"berth images", "berth images -q debian", `berth images --format '{{.Repository}}:{{.Tag}} {{.Size}}'`},
		Setup: func(fs *pflag.FlagSet) command.Func {
			var o listOptions
			fs.BoolVarP(&o.all, "all", "a", false, "Show all images")
			fs.BoolVarP(&o.quiet, "quiet", "q", false, "Only ids")
			fs.BoolVar(&o.noTrunc, "no-trunc", false, "Do not shorten")
			fs.BoolVar(&o.digests, "digests", false, "Show digests")
			fs.StringVar(&o.format, "format", "", "A Go template, \"table TEMPLATE\" or json")
			fs.StringArrayVarP(&o.filters, "filter", "f", nil, "Only those with NAME=VALUE, as reference=debian, dangling=true")
			return func(ctx context.Context, c *command.CLI, args []string) error { return runList(ctx, c, o, args) }
		},
	}
}

// summary is the part of image.Summary that the list shows.
type summary struct {
	ID          string `json:"Id"`
	RepoTags    []string
	RepoDigests []string
	Created     int64 // seconds since 1970
	Size        int64
}

func runList(ctx context.Context, c *command.CLI, o listOptions, args []string) error {
	q := url.Values{}
	if o.all {
		q.Set("all", "1")
	}
	filters := o.filters
	if len(args) > 0 {
		filters = append(filters, "reference="+args[0])
	}
	if err := format.Filters(q, filters); err != nil {
		return err
	}
	api, err := c.Client(ctx)
	if err != nil {
		return err
	}
	var list []summary
	if err := api.Get(ctx, "/images/json", q, &list); err != nil {
		return err
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Created > list[j].Created })
	var rows []format.Row
	for i := range list {
		rows = append(rows, list[i].rows(o)...)
	}
	l := format.List{
		Format:  o.format,
		Columns: []string{"Repository", "Tag", "ID", "CreatedSince", "Size"},
		Headers: map[string]string{
			"Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "Digest": "DIGEST",
			"CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
		},
	}
	if o.digests {
		l.Columns = []string{"Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"}
	}
	if o.quiet {
		l.Quiet, rows = "ID", once(rows)
	}
	return l.Print(c.Out, rows)
}

// rows are one for each name of the image, as docker lists them.
func (s *summary) rows(o listOptions) []format.Row {
	id := s.ID
	if !o.noTrunc {
		id = format.ShortID(id)
	}
	var created time.Time
	if s.Created > 0 {
		created = time.Unix(s.Created, 0)
	}
	row := func(repository, tag, digest string) format.Row {
		return format.Row{
			"ID": id, "Repository": repository, "Tag": tag, "Digest": digest, "Size": format.Size(s.Size),
			"CreatedSince": format.Ago(created), "CreatedAt": created.Format("2006-01-02 15:04:05 -0700 MST"),
		}
	}
	digests := map[string]string{} // by repository
	for _, d := range s.RepoDigests {
		repository, digest, _ := strings.Cut(d, "@")
		digests[repository] = digest
	}
	var rows []format.Row
	for _, t := range s.RepoTags {
		i := strings.LastIndexByte(t, ':')
		if i < 0 {
			continue
		}
		digest := digests[t[:i]]
		if digest == "" {
			digest = "<none>"
		}
		rows = append(rows, row(t[:i], t[i+1:], digest))
	}
	if len(rows) > 0 {
		return rows
	}
	for repository, digest := range digests {
		rows = append(rows, row(repository, "<none>", digest))
	}
	if len(rows) == 0 {
		rows = append(rows, row("<none>", "<none>", "<none>"))
	}
	return rows
}

// once drops rows whose id came before.
func once(rows []format.Row) []format.Row {
	seen := map[string]bool{}
	var out []format.Row
	for _, r := range rows {
		if !seen[r["ID"]] {
			seen[r["ID"]] = true
			out = append(out, r)
		}
	}
	return out
}
