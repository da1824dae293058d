// Package execs keeps the further processes of containers.
//
// Level: L3, a subroom of engine.
// Owns: which execs there are, and how each stands.
// May import: container, container/stdio, ociruntime/lifecycle.
// Must not know: how a process is started.
package execs

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/container"
	"berth/container/stdio"
	"berth/ociruntime/lifecycle"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

const (
	// maxExecs bounds the execs of one container that are kept: the one that ended
	// first makes room for a new one.
	maxExecs = 1000
	// keepExec is how long an exec that has ended can be inspected.
	keepExec = 5 * time.Minute
	// maxEventCommand bounds a command in an event: the bus remembers many.
	maxEventCommand = 4096
)

// Exec is a further process of a container. It is only in memory: it cannot
// outlive the daemon's knowledge of who asked for it.
type Exec struct {
	ID        string
	Container *container.Container
	Request   mcontainer.ExecCreateRequest
	Hub       *stdio.Hub

	mu    sync.Mutex
	begun bool               // guarded by mu
	proc  *lifecycle.Process // guarded by mu; nil before the start and after the end
	pid   int                // guarded by mu
	code  *int               // guarded by mu; set at the end
	ended time.Time          // guarded by mu
}

// Begin takes the exec's only start; false if it was taken.
func (x *Exec) Begin() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	first := !x.begun
	x.begun = true
	return first
}

// Begun says whether the start was taken.
func (x *Exec) Begun() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.begun
}

// Started notes the process.
func (x *Exec) Started(p *lifecycle.Process) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.proc, x.pid = p, p.Pid()
}

// Finish notes the end, also of a start that failed.
func (x *Exec) Finish(code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.proc, x.code, x.ended = nil, &code, time.Now()
}

// Process is the running process, or nil.
func (x *Exec) Process() *lifecycle.Process {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.proc
}

// Inspect tells whether an exec runs and how it ended.
func (x *Exec) Inspect() mcontainer.ExecInspectResponse {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.Request
	return mcontainer.ExecInspectResponse{
		ID: x.ID, Running: x.proc != nil, ExitCode: x.code, Pid: x.pid, ContainerID: x.Container.ID(),
		OpenStdin: r.AttachStdin, OpenStdout: r.AttachStdout, OpenStderr: r.AttachStderr,
		CanRemove: x.code != nil,
		ProcessConfig: &mcontainer.ExecProcessConfig{
			Tty: r.Tty, Entrypoint: r.Cmd[0], Arguments: r.Cmd[1:], Privileged: &r.Privileged, User: r.User,
		},
	}
}

// Action is an event's action with the command.
func (x *Exec) Action(a events.Action) events.Action {
	text := strings.Join(x.Request.Cmd, " ")
	return events.Action(string(a) + ": " + text[:min(len(text), maxEventCommand)])
}

// Size is that of the terminal, height first: the start's, else the request's,
// or nil.
func (x *Exec) Size(atStart *[2]uint) *[2]uint {
	for _, s := range []*[2]uint{atStart, x.Request.ConsoleSize} {
		if s != nil && s[0] > 0 && s[0] < 1<<16 && s[1] > 0 && s[1] < 1<<16 {
			return s
		}
	}
	return nil
}

// Table holds all execs. It is safe for concurrent use.
type Table struct {
	mu  sync.Mutex
	all map[string]*Exec // guarded by mu; by id
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{all: map[string]*Exec{}} }

// Add makes an exec that is not started. Execs that ended some time ago are
// forgotten; too many of one container that have not are of class
// ResourceExhausted.
func (t *Table) Add(c *container.Container, r mcontainer.ExecCreateRequest) (*Exec, error) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	x := &Exec{ID: hex.EncodeToString(b[:]), Container: c, Request: r, Hub: stdio.New(stdio.Options{StdinOnce: true})}
	t.mu.Lock()
	defer t.mu.Unlock()
	n, now := 0, time.Now()
	var first *Exec // of c, that ended
	var at time.Time
	for id, other := range t.all {
		other.mu.Lock()
		over, ended := other.code != nil, other.ended
		other.mu.Unlock()
		switch {
		case over && now.Sub(ended) > keepExec:
			delete(t.all, id)
			continue
		case other.Container != c:
			continue
		case over && (first == nil || ended.Before(at)):
			first, at = other, ended
		}
		n++
	}
	switch {
	case n >= maxExecs && first != nil:
		delete(t.all, first.ID)
	case n >= maxExecs:
		return nil, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf(
			"container %s has %d execs that run or were never started: end some first", c.Record().Name, n))
	}
	t.all[x.ID] = x
	return x, nil
}

// Get finds an exec by its full id.
func (t *Table) Get(id string) (*Exec, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.all[id]; x != nil {
		return x, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such exec instance: " + id[:min(len(id), 80)])
}

// Running lists the ids of a container's execs that run.
func (t *Table) Running(container string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []string
	for _, x := range t.all {
		if x.Container.ID() == container && x.Process() != nil {
			ids = append(ids, x.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// DropIdle forgets a container's execs that never started and tells their
// clients: the container has ended.
func (t *Table) DropIdle(container string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, x := range t.all {
		if x.Container.ID() == container && x.Begin() {
			x.Hub.End()
			delete(t.all, id)
		}
	}
}
