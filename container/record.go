package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"berth/internal/atomicfile"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// recordVersion is the version of container.json this code writes. It reads no
// newer one.
const recordVersion = 1

// recordName is the record's file in a container's directory.
const recordName = "container.json"

// maxRecord bounds what is read of a record; a request body is bounded lower.
const maxRecord = 16 << 20

// Record is what is stored of a container. Config and HostConfig are never
// changed in place: a change stores a new copy.
type Record struct {
	Version int
	ID      string
	Name    string // without docker's leading slash
	Created time.Time
	// Config and HostConfig are the request after the image's defaults were merged.
	Config     *container.Config
	HostConfig *container.HostConfig
	// Networks are those to be joined, by name; nil leaves it to HostConfig.NetworkMode.
	Networks map[string]*network.EndpointSettings
	// Image is the image's id, "sha256:<hex>". Config.Image is the name the user gave.
	Image string
	// Layers are the chain ids of the image's layers, bottom first.
	Layers []string
	// Slot is the id range, or NoSlot when the container uses the host's ids.
	Slot  int
	State State
}

// State is the part of a record that changes while the container lives.
type State struct {
	Status Status
	// Pid is init's id in the host's pid namespace while it lives. Not stored:
	// the keeper knows it.
	Pid int `json:"-"`
	// ExitCode and OOMKilled are those of the last run.
	ExitCode  int
	OOMKilled bool
	// Error is why the last start failed.
	Error      string `json:",omitempty"`
	StartedAt  time.Time
	FinishedAt time.Time
	// Stopped: the user asked for the end, so no restart policy but "always"
	// (when the daemon starts) brings it back.
	Stopped      bool `json:",omitempty"`
	RestartCount int  `json:",omitempty"`
}

// AutoRemove says whether the container goes when it ends.
func (r *Record) AutoRemove() bool { return r.HostConfig != nil && r.HostConfig.AutoRemove }

// Container is a record in memory and its locks.
type Container struct {
	id   string
	dir  string
	verb chan struct{} // holds one token: the verb lock

	write sync.Mutex // orders writes of the record

	mu      sync.Mutex
	rec     Record        // guarded by mu
	changed chan struct{} // guarded by mu; closed and replaced at every change
}

func newContainer(dir string, rec Record) *Container {
	return &Container{id: rec.ID, dir: dir, verb: make(chan struct{}, 1), rec: rec, changed: make(chan struct{})}
}

// ID is 64 hex digits.
func (c *Container) ID() string { return c.id }

// Dir is the container's directory under the data root.
func (c *Container) Dir() string { return c.dir }

// Path joins name, a constant of the caller, to the directory.
func (c *Container) Path(name string) string { return filepath.Join(c.dir, name) }

// Lock takes the verb lock, or returns ctx's error. Call the result once.
func (c *Container) Lock(ctx context.Context) (unlock func(), err error) {
	select {
	case c.verb <- struct{}{}:
		return func() { <-c.verb }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for container %s: %w", c.id[:12], context.Cause(ctx))
	}
}

// Record returns a copy. What its pointers point to must not be changed.
func (c *Container) Record() Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rec
}

// Status is Record().State.Status.
func (c *Container) Status() Status { return c.Record().State.Status }

// Watch returns a copy of the record and a channel that is closed at the next
// change of it.
func (c *Container) Watch() (Record, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rec, c.changed
}

// WaitFor returns the first record for which ok is true, or ctx's error.
func (c *Container) WaitFor(ctx context.Context, ok func(*Record) bool) (Record, error) {
	for {
		rec, changed := c.Watch()
		if ok(&rec) {
			return rec, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return rec, context.Cause(ctx)
		}
	}
}

// Transition moves the container to status to, if the table allows it, lets
// set (may be nil) change the rest of the state, and stores the record before
// anybody sees the change. A disallowed change is of class FailedPrecondition.
func (c *Container) Transition(to Status, set func(*State)) error {
	return c.Update(func(r *Record) error { return r.move(to, set) })
}

func (r *Record) move(to Status, set func(*State)) error {
	if err := r.State.Status.check(to); err != nil {
		return err
	}
	r.State.Status = to
	if set != nil {
		set(&r.State)
	}
	return nil
}

// Fact is Transition for what has happened already, as an end: a full disk does
// not undo it, so it is shown also if it cannot be stored. The next daemon finds
// it out again.
func (c *Container) Fact(to Status, set func(*State)) error {
	return c.update(true, func(r *Record) error { return r.move(to, set) })
}

// MarkStopped notes that the user wants the end, for the restart policy. Like a
// fact it holds also if it cannot be stored.
func (c *Container) MarkStopped() error {
	return c.update(true, func(r *Record) error {
		r.State.Stopped = true
		return nil
	})
}

// Update stores what change makes of a copy of the record and then shows it.
// It must not change the status: that is [Container.Transition]'s.
func (c *Container) Update(change func(*Record) error) error {
	return c.update(false, change)
}

func (c *Container) update(fact bool, change func(*Record) error) error {
	c.write.Lock()
	defer c.write.Unlock()
	rec := c.Record()
	if err := change(&rec); err != nil {
		return err
	}
	var stored error
	// Removed has no record any more. Starting is not stored: the container's
	// run directory is the intent, and a write to the disk would cost a start 2 ms.
	if rec.State.Status != Removed && rec.State.Status != Starting {
		stored = save(c.dir, &rec)
	}
	if stored != nil && rec.State.Status == Removing {
		// Removing is what frees a full disk. A directory without a record says
		// the same to the next daemon.
		stored = os.Remove(c.Path(recordName))
	}
	if stored != nil && !fact {
		return stored
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec = rec
	close(c.changed)
	c.changed = make(chan struct{})
	return stored
}

// save writes the record; see the package's comment for when it is durable.
func save(dir string, rec *Record) error {
	data, err := json.MarshalIndent(rec, "", "\t")
	if err != nil {
		return fmt.Errorf("encode record of container %s: %w", rec.ID, err)
	}
	write := atomicfile.Write
	if rec.AutoRemove() {
		write = atomicfile.WriteVolatile
	}
	if err := write(filepath.Join(dir, recordName), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("store record of container %s: %w", rec.ID, err)
	}
	return nil
}

// errLeftover marks a directory without a record, or with an empty one.
var errLeftover = errors.New("no record")

// load reads and checks the record in dir, whose base name must be the id.
func load(dir string) (Record, error) {
	var rec Record
	path := filepath.Join(dir, recordName)
	fi, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && fi.Size() == 0 {
		return rec, errLeftover
	}
	if err != nil {
		return rec, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxRecord {
		return rec, fmt.Errorf("read %s: not a regular file of at most %d bytes: %w", path, maxRecord, errdefs.ErrDataLoss)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return rec, err
	}
	if err := json.Unmarshal(data, &rec); err != nil {
		return rec, fmt.Errorf("read %s: %w", path, errors.Join(err, errdefs.ErrDataLoss))
	}
	switch {
	case rec.Version != recordVersion:
		err = fmt.Errorf("its version is %d; this berthd reads version %d: %w", rec.Version, recordVersion, errdefs.ErrFailedPrecondition)
	case rec.ID != filepath.Base(dir) || CheckID(rec.ID) != nil:
		err = fmt.Errorf("it names container %q: %w", rec.ID, errdefs.ErrDataLoss)
	case CheckName(rec.Name) != nil:
		err = fmt.Errorf("its name is %q: %w", rec.Name, errdefs.ErrDataLoss)
	case !rec.State.Status.Known() || rec.State.Status == Removed:
		err = fmt.Errorf("its status is %q: %w", rec.State.Status, errdefs.ErrDataLoss)
	case rec.Config == nil || rec.HostConfig == nil:
		err = fmt.Errorf("its configuration is missing: %w", errdefs.ErrDataLoss)
	case rec.Slot != NoSlot && (rec.Slot < 0 || rec.Slot >= slots):
		err = fmt.Errorf("its id range %d does not exist: %w", rec.Slot, errdefs.ErrDataLoss)
	}
	if err != nil {
		return rec, fmt.Errorf("read %s: %w", path, err)
	}
	return rec, nil
}
