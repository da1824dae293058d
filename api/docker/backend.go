package docker

import (
	"context"
	"io"
	"time"

	"berth/engine"
	"berth/engine/networks"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/system"
)

// Backend is what the API needs of the engine. Containers are named by any
// reference (id, name, prefix of the id), which the engine checks.
type Backend interface {
	Lifecycle
	Streams
	Reports
	Execs
	Images
	Networks
	System
}

// Lifecycle changes containers.
type Lifecycle interface {
	Create(ctx context.Context, r engine.CreateRequest) (container.CreateResponse, error)
	// Start of a running container is of class NotModified, as Stop of one
	// that does not run.
	Start(ctx context.Context, ref string) error
	Stop(ctx context.Context, ref string, o engine.StopOptions) error
	Restart(ctx context.Context, ref string, o engine.StopOptions) error
	Kill(ctx context.Context, ref, signal string) error
	Pause(ctx context.Context, ref string) error
	Unpause(ctx context.Context, ref string) error
	Rename(ctx context.Context, ref, name string) error
	Remove(ctx context.Context, ref string, o engine.RemoveOptions) error
	Prune(ctx context.Context, f engine.Filters) (container.PruneReport, error)
}

// Streams move a container's data.
type Streams interface {
	// Attach registers at once; the session must be served or closed.
	Attach(ctx context.Context, ref string, o engine.AttachOptions) (*engine.Session, error)
	Resize(ctx context.Context, ref string, height, width uint16) error
	// Wait registers at once; the function waits.
	Wait(ctx context.Context, ref string, until container.WaitCondition) (func(context.Context) (engine.WaitResult, error), error)
	// OpenLogs checks the request; the function streams.
	OpenLogs(ctx context.Context, ref string, o engine.LogOptions) (*engine.Logs, error)
}

// Reports tell about containers.
type Reports interface {
	List(ctx context.Context, o engine.ListOptions) ([]container.Summary, error)
	Inspect(ctx context.Context, ref string, size bool) (container.InspectResponse, error)
	Stats(ctx context.Context, ref string) (container.StatsResponse, error)
	Top(ctx context.Context, ref string) (container.TopResponse, error)
	Explain(ctx context.Context, ref string) (string, error)
	ExplainRequest(ctx context.Context, r engine.CreateRequest) (string, error)
}

// Execs run further processes.
type Execs interface {
	ExecCreate(ctx context.Context, ref string, r container.ExecCreateRequest) (string, error)
	// ExecAttach registers; the process starts with ExecStart.
	ExecAttach(ctx context.Context, id string, r container.ExecStartRequest) (*engine.Session, error)
	ExecStart(ctx context.Context, id string, r container.ExecStartRequest) error
	ExecResize(ctx context.Context, id string, height, width uint16) error
	ExecInspect(ctx context.Context, id string) (container.ExecInspectResponse, error)
}

// Images manage images.
type Images interface {
	ImagePull(ctx context.Context, o engine.PullOptions, tell func(engine.ImageProgress)) error
	ImageLoad(ctx context.Context, archive io.Reader, tell func(engine.ImageProgress)) ([]string, error)
	ImageList(ctx context.Context, f engine.Filters) ([]image.Summary, error)
	ImageInspect(ctx context.Context, ref string) (image.InspectResponse, error)
	ImageHistory(ctx context.Context, ref string) ([]image.HistoryResponseItem, error)
	ImageTag(ctx context.Context, source, target string) error
	ImageRemove(ctx context.Context, ref string, force bool) ([]image.DeleteResponse, error)
	ImagePrune(ctx context.Context, f engine.Filters) (image.PruneReport, error)
}

// Networks manage networks.
type Networks interface {
	NetworkCreate(ctx context.Context, r network.CreateRequest) (network.CreateResponse, error)
	NetworkList(ctx context.Context, f engine.Filters) ([]network.Inspect, error)
	NetworkInspect(ctx context.Context, ref string) (network.Inspect, error)
	NetworkRemove(ctx context.Context, ref string) error
	NetworkConnect(ctx context.Context, ref string, r network.ConnectRequest) error
	NetworkDisconnect(ctx context.Context, ref string, r network.DisconnectRequest) error
	NetworkPrune(ctx context.Context, f engine.Filters) (network.PruneReport, error)
	ContainerPorts(ctx context.Context, ref string, u networks.PortUpdate) error
	// NetworkExplain says who reaches a container and what it reaches.
	NetworkExplain(ctx context.Context, ref string) (*networks.NetworkReport, error)
	// NetworkCapture streams packets to what begin returns, once it captures.
	NetworkCapture(ctx context.Context, ref string, o networks.CaptureOptions, begin func() io.Writer) (networks.CaptureStats, error)
}

// System tells about the daemon.
type System interface {
	Info(ctx context.Context) (system.Info, error)
	Version(ctx context.Context) (system.VersionResponse, error)
	Events(since time.Time) (past []events.Message, next <-chan events.Message, stop func())
}

var _ Backend = (*engine.Engine)(nil)
