package engine

import (
	"slices"
	"strings"

	"berth/container/jsonlog"
	"berth/container/stdio"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
)

// CreateRequest asks for a container.
type CreateRequest struct {
	Name, Platform string
	Config         *container.Config
	HostConfig     *container.HostConfig
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

// PullOptions say what to pull.
type PullOptions struct {
	Ref, Platform string
	// Auth is the user's login; nil: what the daemon's configuration says.
	Auth *registry.AuthConfig
}

// ImageProgress is one line of a progress display.
type ImageProgress struct {
	// ID is a layer's short digest, or empty.
	ID             string
	Status         string
	Current, Total int64
}

// Filters are Docker's: all names must match, one value of each suffices.
type Filters map[string][]string

// Match says whether one of values satisfies the filter name, if it is set.
func (f Filters) Match(name string, values ...string) bool {
	want := f[name]
	if len(want) == 0 {
		return true
	}
	return slices.ContainsFunc(values, func(v string) bool { return v != "" && slices.Contains(want, v) })
}

// MatchLabels checks the filter label: "key" or "key=value", all of them.
func (f Filters) MatchLabels(labels map[string]string) bool {
	for _, want := range f["label"] {
		key, value, hasValue := strings.Cut(want, "=")
		got, ok := labels[key]
		if !ok || hasValue && got != value {
			return false
		}
	}
	return true
}

// check refuses a filter that is not known: ignoring it could delete too much.
func (f Filters) check(known ...string) error {
	for name := range f {
		if !slices.Contains(known, name) {
			return invalid("unknown filter %.80q: use %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}
