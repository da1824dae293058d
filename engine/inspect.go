package engine

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"berth/container"
	"berth/engine/bundle"
	"berth/engine/report"
	"berth/engine/share"
	"berth/spec"

	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/storage"
)

// Inspect tells everything about a container.
func (e *Engine) Inspect(_ context.Context, ref string, size bool) (mcontainer.InspectResponse, error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return mcontainer.InspectResponse{}, err
	}
	rec := c.Record()
	command, files := spec.Command(*rec.Config), bundle.FilesOf(share.NetworkOf(c, e.records.Get))
	out := mcontainer.InspectResponse{
		ID:              c.ID(),
		Created:         rec.Created.Format(time.RFC3339Nano),
		Args:            []string{},
		State:           report.State(&rec),
		Image:           rec.Image,
		ResolvConfPath:  files.ResolvConf,
		HostnamePath:    files.Hostname,
		HostsPath:       files.Hosts,
		Name:            "/" + rec.Name,
		RestartCount:    rec.State.RestartCount,
		Driver:          "overlayfs",
		Platform:        "linux",
		ExecIDs:         e.execs.Running(c.ID()),
		HostConfig:      rec.HostConfig,
		Mounts:          report.MountPoints(e.Root, &rec),
		Config:          report.Config(&rec),
		NetworkSettings: e.Settings(&rec),
		GraphDriver: &storage.DriverData{Name: "overlayfs", Data: map[string]string{
			"UpperDir": c.Path("upper"), "WorkDir": c.Path("work"), "LowerDir": e.lowerDirs(&rec),
		}},
	}
	if len(command) > 0 {
		out.Path, out.Args = command[0], command[1:]
	}
	if l := e.liveOf(c); l.log != nil {
		out.LogPath = l.log.Path()
	}
	if size {
		rw := e.writableSize(c.ID())
		total := rw + e.Size(rec.Image)
		out.SizeRw, out.SizeRootFs = &rw, &total
	}
	return out, nil
}

// lowerDirs are the image's layers on disk, topmost first.
func (e *Engine) lowerDirs(rec *container.Record) string {
	o, err := e.Snapshots.View(chainOf(rec))
	if err != nil {
		return "" // only shown
	}
	for i := range o.Lower {
		o.Lower[i] = filepath.Join(o.Root, o.Lower[i])
	}
	return strings.Join(o.Lower, ":")
}
