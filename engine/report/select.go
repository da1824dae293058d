package report

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/container"
	"berth/engine/filter"
)

// Selects says whether the filters of a list let a container pass that is in these
// networks. root is the data root.
func Selects(f filter.Set, rec *container.Record, root string, networks []string) bool {
	contains := func(name, value string, match func(string, string) bool) bool {
		return len(f[name]) == 0 || slices.ContainsFunc(f[name], func(want string) bool {
			return match(value, strings.TrimPrefix(want, "/"))
		})
	}
	image := func(value, want string) bool {
		return value == want || value == want+":latest" || strings.HasPrefix(rec.Image, want) || strings.HasPrefix(rec.Image, "sha256:"+want)
	}
	volumes := []string{}
	for _, m := range MountPoints(root, rec) {
		volumes = append(volumes, m.Name, m.Source, m.Destination)
	}
	return contains("id", rec.ID, strings.HasPrefix) && contains("name", rec.Name, strings.Contains) &&
		f.Match("status", string(Status(rec.State.Status))) && f.MatchLabels(rec.Config.Labels) &&
		contains("ancestor", rec.Config.Image, image) && f.Match("volume", volumes...) && f.Match("network", networks...) &&
		(len(f["exited"]) == 0 || rec.State.Status == container.Exited && f.Match("exited", strconv.Itoa(rec.State.ExitCode)))
}

// Window reads the filters before and since, which name containers: whether a time is
// between them.
func Window(f filter.Set, find func(ref string) (*container.Container, error)) (func(time.Time) bool, error) {
	var after, before time.Time
	for name, t := range map[string]*time.Time{"since": &after, "before": &before} {
		for _, ref := range f[name] {
			c, err := find(ref)
			if err != nil {
				return nil, err
			}
			*t = c.Record().Created
		}
	}
	return func(t time.Time) bool {
		return (after.IsZero() || t.After(after)) && (before.IsZero() || t.Before(before))
	}, nil
}
