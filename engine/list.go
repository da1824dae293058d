package engine

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/container"
	"berth/engine/report"
	"berth/spec"

	mcontainer "github.com/moby/moby/api/types/container"
)

// List returns containers, newest first.
func (e *Engine) List(_ context.Context, o ListOptions) ([]mcontainer.Summary, error) {
	f := o.Filters
	if err := f.Check("id", "name", "status", "label", "ancestor", "exited", "before", "since", "network", "volume"); err != nil {
		return nil, err
	}
	for _, s := range f["status"] {
		if err := mcontainer.ValidateContainerState(mcontainer.ContainerState(s)); err != nil {
			return nil, invalid("filter: %v", err)
		}
	}
	window, err := e.window(f)
	if err != nil {
		return nil, err
	}
	all := o.All || o.Limit > 0 || len(f["status"]) > 0 || len(f["exited"]) > 0
	var list []mcontainer.Summary
	for _, c := range e.records.List() {
		rec := c.Record()
		if s := rec.State.Status; s == container.Removed || !all && !s.Alive() && s != container.Restarting {
			continue
		}
		if !window(rec.Created) || !e.selects(f, &rec) {
			continue
		}
		list = append(list, e.summary(c, &rec, o.Size))
		if o.Limit > 0 && len(list) == o.Limit {
			break
		}
	}
	return list, nil
}

// window reads the filters before and since, which name containers.
func (e *Engine) window(f Filters) (func(time.Time) bool, error) {
	var after, before time.Time
	for name, t := range map[string]*time.Time{"since": &after, "before": &before} {
		for _, ref := range f[name] {
			c, err := e.records.Get(ref)
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

func (e *Engine) selects(f Filters, rec *container.Record) bool {
	contains := func(name, value string, match func(string, string) bool) bool {
		if len(f[name]) == 0 {
			return true
		}
		for _, want := range f[name] {
			if match(value, strings.TrimPrefix(want, "/")) {
				return true
			}
		}
		return false
	}
	image := func(value, want string) bool {
		return value == want || value == want+":latest" || strings.HasPrefix(rec.Image, want) || strings.HasPrefix(rec.Image, "sha256:"+want)
	}
	volumes := []string{}
	for _, m := range report.MountPoints(e.Root, rec) {
		volumes = append(volumes, m.Name, m.Source, m.Destination)
	}
	return contains("id", rec.ID, strings.HasPrefix) && contains("name", rec.Name, strings.Contains) &&
		f.Match("status", string(report.Status(rec.State.Status))) && f.MatchLabels(rec.Config.Labels) &&
		contains("ancestor", rec.Config.Image, image) && f.Match("volume", volumes...) &&
		f.Match("network", slices.Collect(maps.Keys(e.Summary(rec).Networks))...) &&
		(len(f["exited"]) == 0 || rec.State.Status == container.Exited && f.Match("exited", strconv.Itoa(rec.State.ExitCode)))
}

func (e *Engine) summary(c *container.Container, rec *container.Record, size bool) mcontainer.Summary {
	s := mcontainer.Summary{
		ID: c.ID(), Names: []string{"/" + rec.Name},
		Image: rec.Config.Image, ImageID: rec.Image,
		Command:         strings.Join(spec.Command(*rec.Config), " "),
		Created:         rec.Created.Unix(),
		Ports:           e.Ports(rec),
		Labels:          rec.Config.Labels,
		State:           report.Status(rec.State.Status),
		Status:          report.StatusText(rec, time.Now()),
		Mounts:          report.MountPoints(e.Root, rec),
		NetworkSettings: e.Summary(rec),
	}
	s.HostConfig.NetworkMode = string(rec.HostConfig.NetworkMode)
	if size {
		s.SizeRw = e.writableSize(c.ID())
		s.SizeRootFs = s.SizeRw + e.Size(rec.Image)
	}
	return s
}
