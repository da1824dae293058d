package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"berth/container"
	"berth/container/jsonlog"
	"berth/container/stdio"
	"berth/engine/bundle"
	"berth/engine/execs"
	"berth/engine/images"
	"berth/engine/networks"
	"berth/events"
	"berth/image"
	"berth/network"
	"berth/network/cni"
	"berth/ociruntime/lifecycle"
	"berth/snapshot"
	"berth/spec"
	"berth/volume"

	"github.com/containerd/errdefs"
	mevents "github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Config are the engine's rooms and places.
type Config struct {
	// Root is the data root (/var/lib/berth), Run the run directory (/run/berth).
	Root, Run string
	// Version is berth's.
	Version string
	Images  *image.Store
	// Snapshots keeps layers and writable layers.
	Snapshots snapshot.Snapshotter
	Runtime   *lifecycle.Runtime
	// Networks joins containers, Plugins makes networks with CNI plugins.
	Networks *network.Networks
	Plugins  *cni.Networks
	// Host tells what the machine has; asked at every start.
	Host func() (spec.Host, error)
	// Embedded opens the archive of the image inside the binary.
	Embedded    func() (io.ReadCloser, error)
	Rootless    bool         // berthd is an ordinary user's, root of a user namespace
	HostServers []netip.Addr // instead of the host's name servers with --network host; nil: none
	Log         *slog.Logger
}

// Engine runs containers. It is safe for concurrent use.
type Engine struct {
	Config
	*images.Store // the verbs over images
	*networks.Verbs
	records *container.Store
	volumes *volume.Store
	bus     *events.Bus
	bundles *bundle.Builder
	execs   *execs.Table

	watch    context.Context // ends when the daemon does
	stop     context.CancelFunc
	monitors sync.WaitGroup

	mu   sync.Mutex
	live map[string]*live // guarded by mu; by container id
}

// live is what of a container is only in memory.
type live struct {
	hub *stdio.Hub
	log *jsonlog.Log // nil with the log driver "none"

	mu     sync.Mutex
	proc   *lifecycle.Container // guarded by mu; nil unless it runs
	spec   *specs.Spec          // guarded by mu; of proc
	lent   int                  // guarded by mu; the id range of another container that proc has, or NoSlot
	delay  time.Duration        // guarded by mu; the pause before the last restart
	cancel context.CancelFunc   // guarded by mu; ends the pause before a restart
}

// running returns the process, or an error of class Conflict.
func (l *live) running(name string) (*lifecycle.Container, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proc == nil {
		return nil, notRunning(name)
	}
	return l.proc, nil
}

func notRunning(name string) error {
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", name))
}

// hasEnded says whether an operation failed because the container has ended
// meanwhile: its process or its cgroup is gone.
func hasEnded(err error) bool {
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) ||
		errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENODEV)
}

// set notes what runs. lent is an id range that was borrowed for it, or NoSlot; the
// one of the process before comes back.
func (l *live) set(p *lifecycle.Container, s *specs.Spec, lent int) (before int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.proc, l.spec, l.lent = l.lent, p, s, lent
	return before
}

// Open reads the data root and repairs what a killed daemon or a reboot has
// left. Close follows.
func Open(ctx context.Context, c Config) (*Engine, error) {
	records, left, err := container.Open(filepath.Join(c.Root, "containers"))
	if err != nil {
		return nil, fmt.Errorf("open containers: %w", err)
	}
	volumes, err := volume.Open(filepath.Join(c.Root, "volumes"))
	if err != nil {
		return nil, err
	}
	e := &Engine{
		Config: c, records: records, volumes: volumes, bus: events.New(),
		bundles: &bundle.Builder{Host: c.Host},
		live:    map[string]*live{}, execs: execs.NewTable(),
	}
	e.Store = images.New(images.Config{
		Images: c.Images, Snapshots: c.Snapshots, Bus: e.bus, Embedded: c.Embedded,
		InUse: e.imagesInUse, Using: e.imagesUsing,
	})
	e.Verbs = networks.New(networks.Config{
		Networks: c.Networks, Plugins: c.Plugins, Rootless: c.Rootless, Bus: e.bus, Lock: e.lock, Tell: e.publish, RunDir: e.runDir,
	})
	e.watch, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := e.recover(ctx, left); err != nil {
		e.stop()
		e.monitors.Wait()
		return nil, err
	}
	return e, nil
}

// Close stops watching. Containers go on; the next daemon adopts them.
func (e *Engine) Close() {
	e.stop()
	e.monitors.Wait()
	if err := e.Verbs.Close(); err != nil {
		e.Log.Error("close networks", "error", err)
	}
}

// Busy says whether a container runs or is about to: then the daemon must stay.
func (e *Engine) Busy() bool {
	for _, c := range e.records.List() {
		switch c.Status() {
		case container.Starting, container.Running, container.Paused, container.Restarting, container.Removing:
			return true
		}
	}
	return false
}

// lock finds a container and takes its verb lock.
func (e *Engine) lock(ctx context.Context, ref string) (*container.Container, func(), error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return nil, nil, err
	}
	unlock, err := c.Lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	if c.Status() == container.Removed {
		unlock()
		return nil, nil, noContainer(ref)
	}
	return c, unlock, nil
}

// liveOf returns the container's part in memory and makes it when needed.
func (e *Engine) liveOf(c *container.Container) *live {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.live[c.ID()]
	if l == nil {
		rec := c.Record()
		l = e.newLive(c, &rec)
		if rec.State.Status != container.Removed { // else nobody would forget it
			e.live[c.ID()] = l
		}
	}
	return l
}

func (e *Engine) newLive(c *container.Container, rec *container.Record) *live {
	l := &live{lent: container.NoSlot}
	o := stdio.Options{StdinOnce: rec.Config.StdinOnce, SinkFailed: func(err error) {
		e.Log.Error("log of container is incomplete", "container", c.ID(), "error", err)
	}}
	if options, err := jsonlog.ParseOptions(rec.HostConfig.LogConfig.Type, rec.HostConfig.LogConfig.Config); err == nil && rec.HostConfig.LogConfig.Type != "none" {
		l.log = jsonlog.New(c.Path(filepath.Join("logs", c.ID()+"-json.log")), options)
		o.Stdout, o.Stderr = l.log.Stream("stdout"), l.log.Stream("stderr")
	}
	l.hub = stdio.New(o)
	return l
}

// forget drops what was in memory of a removed container and tells the clients
// that waited for its next run.
func (e *Engine) forget(id string) {
	e.mu.Lock()
	l := e.live[id]
	delete(e.live, id)
	e.mu.Unlock()
	if l != nil {
		l.hub.End()
	}
}

// runDir is the directory of a running container's records.
func (e *Engine) runDir(id string) string { return filepath.Join(e.Run, "containers", id) }

// publish tells listeners what happened to a container.
func (e *Engine) publish(c *container.Container, action mevents.Action, more ...string) {
	rec := c.Record()
	attributes := map[string]string{}
	for k, v := range rec.Config.Labels {
		attributes[k] = v
	}
	attributes["image"], attributes["name"] = rec.Config.Image, rec.Name
	for i := 0; i+1 < len(more); i += 2 {
		attributes[more[i]] = more[i+1]
	}
	e.bus.Publish(mevents.Message{
		Type: mevents.ContainerEventType, Action: action,
		Actor: mevents.Actor{ID: c.ID(), Attributes: attributes},
	})
}

// imagesInUse says which image ids and chain ids containers need. Call it with
// images held for writing, so that no container is being created.
func (e *Engine) imagesInUse() func(digest.Digest) bool {
	used := map[digest.Digest]bool{}
	for _, c := range e.records.List() {
		rec := c.Record()
		used[digest.Digest(rec.Image)] = true
		for _, l := range rec.Layers {
			used[digest.Digest(l)] = true
		}
	}
	return func(d digest.Digest) bool { return used[d] }
}

// imagesUsing counts the containers of each image.
func (e *Engine) imagesUsing() map[string]int64 {
	n := map[string]int64{}
	for _, c := range e.records.List() {
		n[c.Record().Image]++
	}
	return n
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

// noContainer uses Docker's words: its clients look for them.
func noContainer(ref string) error {
	return errdefs.ErrNotFound.WithMessage("No such container: " + clip(ref))
}

func clip(s string) string { return s[:min(len(s), 200)] }
