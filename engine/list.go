package engine

import (
	"context"
	"maps"
	"slices"
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
	window, err := report.Window(f, e.records.Get)
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
		if !window(rec.Created) || !report.Selects(f, &rec, e.Root, slices.Collect(maps.Keys(e.Summary(&rec).Networks))) {
			continue
		}
		list = append(list, e.summary(c, &rec, o.Size))
		if o.Limit > 0 && len(list) == o.Limit {
			break
		}
	}
	return list, nil
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
