// Package report tells about containers in the words of Docker's API.
//
// Level: L3, a subroom of engine.
// Owns: how a record's state is shown.
// May import: container, container/proctable, engine/filter, spec, ociruntime/cgroups, moby/moby/api.
// Must not know: where records come from.
package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"time"

	"berth/container"
	"berth/spec"

	"github.com/docker/go-units"
	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
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

// AnonymousVolume names the volume that a container has at target without the
// user naming one. The name follows from both, so it need not be stored.
func AnonymousVolume(id, target string) string {
	sum := sha256.Sum256([]byte(id + "\x00" + target))
	return hex.EncodeToString(sum[:])
}

// MountPoints lists the mounts of a container below a data root.
func MountPoints(root string, rec *container.Record) []mcontainer.MountPoint {
	points := []mcontainer.MountPoint{}
	mounts, err := spec.Mounts(*rec.Config, rec.HostConfig)
	if err != nil { // checked when it was created
		return points
	}
	for _, m := range mounts {
		p := mcontainer.MountPoint{Type: m.Type, Source: m.Source, Destination: m.Target, RW: !m.ReadOnly, Propagation: m.Propagation}
		if m.Type == mount.TypeVolume {
			if p.Name = m.Name; p.Name == "" {
				p.Name = AnonymousVolume(rec.ID, m.Target)
			}
			p.Driver, p.Source = "local", filepath.Join(root, "volumes", p.Name, "data")
		}
		points = append(points, p)
	}
	return points
}
