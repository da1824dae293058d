package engine

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"berth/container"
	"berth/spec"

	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
)

// Inspect tells everything about a container.
func (e *Engine) Inspect(_ context.Context, ref string, size bool) (mcontainer.InspectResponse, error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return mcontainer.InspectResponse{}, err
	}
	rec := c.Record()
	command := spec.Command(*rec.Config)
	out := mcontainer.InspectResponse{
		ID:              c.ID(),
		Created:         rec.Created.Format(time.RFC3339Nano),
		Args:            []string{},
		State:           stateOf(&rec),
		Image:           rec.Image,
		ResolvConfPath:  c.Path("resolv.conf"),
		HostnamePath:    c.Path("hostname"),
		HostsPath:       c.Path("hosts"),
		Name:            "/" + rec.Name,
		RestartCount:    rec.State.RestartCount,
		Driver:          "overlayfs",
		Platform:        "linux",
		ExecIDs:         e.execsOf(c.ID()),
		HostConfig:      rec.HostConfig,
		Mounts:          e.mountPoints(&rec),
		Config:          withHostname(&rec),
		NetworkSettings: &mcontainer.NetworkSettings{Ports: network.PortMap{}, Networks: networksOf(&rec)},
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
		total := rw + e.imageSize(rec.Image)
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

// withHostname shows the name a container has when none was asked for.
func withHostname(rec *container.Record) *mcontainer.Config {
	config := *rec.Config
	if config.Hostname == "" && !rec.HostConfig.NetworkMode.IsHost() {
		config.Hostname = rec.ID[:12]
	}
	return &config
}

func networksOf(rec *container.Record) map[string]*network.EndpointSettings {
	return map[string]*network.EndpointSettings{string(rec.HostConfig.NetworkMode): {}}
}

// stateOf is a container's state in Docker's words.
func stateOf(rec *container.Record) *mcontainer.State {
	s := rec.State
	out := &mcontainer.State{
		Status:     apiStatus(s.Status),
		Running:    s.Status.Alive() || s.Status == container.Restarting,
		Paused:     s.Status == container.Paused,
		Restarting: s.Status == container.Restarting,
		Dead:       s.Status == container.Dead,
		OOMKilled:  s.OOMKilled,
		Pid:        s.Pid,
		ExitCode:   s.ExitCode,
		Error:      s.Error,
		StartedAt:  s.StartedAt.Format(time.RFC3339Nano),
		FinishedAt: s.FinishedAt.Format(time.RFC3339Nano),
	}
	if s.Status.Alive() {
		out.ExitCode, out.OOMKilled = 0, false // those are the last run's
	}
	return out
}

// apiStatus hides the status that the Docker API does not know.
func apiStatus(s container.Status) mcontainer.ContainerState {
	if s == container.Starting {
		return mcontainer.StateCreated
	}
	return mcontainer.ContainerState(s)
}
