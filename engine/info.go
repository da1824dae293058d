package engine

import (
	"context"
	"time"

	"berth/container"
	"berth/engine/report"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/system"
)

// Events returns remembered events and a channel of those that follow.
func (e *Engine) Events(since time.Time) (past []events.Message, next <-chan events.Message, stop func()) {
	return e.bus.Listen(since)
}

// Version tells what this daemon is.
func (e *Engine) Version(context.Context) (system.VersionResponse, error) {
	return report.Version(e.Config.Version)
}

// Info tells about the daemon and the machine.
func (e *Engine) Info(context.Context) (system.Info, error) {
	host, err := e.Host()
	if err != nil {
		return system.Info{}, err
	}
	images, err := e.Images.List()
	if err != nil {
		return system.Info{}, err
	}
	info, err := report.Info(e.Config.Version, host)
	if err != nil {
		return system.Info{}, err
	}
	report.Rootless(&info, e.Rootless)
	info.Images, info.DockerRootDir, info.NEventsListener = len(images), e.Root, e.bus.Listeners()
	for _, c := range e.records.List() {
		info.Containers++
		switch c.Status() {
		case container.Running:
			info.ContainersRunning++
		case container.Paused:
			info.ContainersPaused++
		default:
			info.ContainersStopped++
		}
	}
	return info, nil
}
