package engine

import (
	"berth/container/jsonlog"
	"berth/container/stdio"
	"berth/engine/filter"
	"berth/engine/images"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// CreateRequest asks for a container.
type CreateRequest struct {
	Name, Platform string
	Config         *container.Config
	HostConfig     *container.HostConfig
	// Networks are the networks to join, by name or id, with what is asked for
	// there; HostConfig.NetworkMode names the first.
	Networks map[string]*network.EndpointSettings
}

// StopOptions say how a container is asked to end.
type StopOptions struct {
	// Signal instead of the container's own; by name or number.
	Signal string
	// Timeout in seconds until SIGKILL; negative waits for ever; nil is the
	// container's own, else 10.
	Timeout *int
}

// RemoveOptions say what goes.
type RemoveOptions struct {
	// Force kills a running container first.
	Force bool
	// Volumes removes the container's anonymous volumes too.
	Volumes bool
}

// AttachOptions say which streams a client wants.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	// Stream asks for what comes from now on, Logs for what was.
	Stream, Logs bool
}

// LogOptions select what is read of a log.
type LogOptions struct{ LogQuery }

// The words of the streams, for the API.
type (
	// LogQuery selects entries of a log.
	LogQuery = jsonlog.Query
	// LogEntry is one line of a log.
	LogEntry = jsonlog.Entry
	// Peer is an attached client's side.
	Peer = stdio.Peer
)

// ListOptions select containers.
type ListOptions struct {
	// All includes those that do not run.
	All bool
	// Limit returns the newest ones only, running or not; 0 is no limit.
	Limit int
	// Size asks for the writable layer's size.
	Size    bool
	Filters Filters
}

// The words of images, for the API.
type (
	// PullOptions say what to pull.
	PullOptions = images.PullOptions
	// ImageProgress is one line of a progress display.
	ImageProgress = images.Progress
)

// Filters are Docker's filters of lists and prunes.
type Filters = filter.Set
