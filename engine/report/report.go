// Package report tells about containers in the words of Docker's API.
//
// Level: L3, a subroom of engine.
// Owns: how a record's state is shown.
// May import: container, moby/moby/api.
// Must not know: where records come from.
package report

import (
	"fmt"
	"time"

	"berth/container"

	"github.com/docker/go-units"
	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// State is a container's state in Docker's words.
func State(rec *container.Record) *mcontainer.State {
	s := rec.State
	out := &mcontainer.State{
		Status:     Status(s.Status),
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

// Status hides the status that the Docker API does not know.
func Status(s container.Status) mcontainer.ContainerState {
	if s == container.Starting {
		return mcontainer.StateCreated
	}
	return mcontainer.ContainerState(s)
}

// Config shows the name a container has when none was asked for.
func Config(rec *container.Record) *mcontainer.Config {
	config := *rec.Config
	if config.Hostname == "" && !rec.HostConfig.NetworkMode.IsHost() {
		config.Hostname = rec.ID[:12]
	}
	return &config
}

// Networks are the networks a container is in.
func Networks(rec *container.Record) map[string]*network.EndpointSettings {
	return map[string]*network.EndpointSettings{string(rec.HostConfig.NetworkMode): {}}
}

// StatusText is the column STATUS of ps.
func StatusText(rec *container.Record, now time.Time) string {
	s := rec.State
	switch s.Status {
	case container.Running:
		return "Up " + units.HumanDuration(now.Sub(s.StartedAt))
	case container.Paused:
		return "Up " + units.HumanDuration(now.Sub(s.StartedAt)) + " (Paused)"
	case container.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", s.ExitCode, units.HumanDuration(now.Sub(s.FinishedAt)))
	case container.Exited:
		return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, units.HumanDuration(now.Sub(s.FinishedAt)))
	case container.Removing:
		return "Removal In Progress"
	case container.Dead:
		return "Dead"
	}
	return "Created"
}
