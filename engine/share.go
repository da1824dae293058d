package engine

import (
	"context"

	"berth/container"
	"berth/engine/share"
	"berth/internal/cleanup"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// joinContainer opens the namespaces of another container that this one is to live
// in, and keeps its id range from being given to a third.
func (s *starting) joinContainer(_ context.Context, undo *cleanup.Stack) (err error) {
	if !share.Any(s.rec.HostConfig) {
		return nil
	}
	if s.shared, err = share.Join(s.rec, s.e.running); err != nil {
		return err
	}
	if s.shared.Record.Slot != s.rec.Slot {
		s.lent = s.shared.Record.Slot
		s.e.records.Borrow(s.lent)
	}
	undo.Add(func() error { s.e.giveBack(s.lent); return nil })
	return s.shared.StillRunning(s.e.running) // asked after the borrowing, see Borrow
}

// running tells about a container that runs, in its words of class Conflict if not.
func (e *Engine) running(id string) (share.Running, error) {
	c, err := e.records.Get(id)
	if err != nil {
		return share.Running{}, err
	}
	l := e.liveOf(c)
	p, err := l.running(c.Record().Name)
	if err != nil {
		return share.Running{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proc != p {
		return share.Running{}, notRunning(c.Record().Name)
	}
	return share.Running{Record: c.Record(), Process: p.Process, Spec: l.spec}, nil
}

// borrowed borrows again the id range of another that an adopted container has.
func (e *Engine) borrowed(c *container.Container, s *specs.Spec) int {
	slot := share.Slot(s)
	if slot == c.Record().Slot || slot == container.NoSlot {
		return container.NoSlot
	}
	e.records.Borrow(slot)
	return slot
}

func (e *Engine) giveBack(slot int) {
	if slot != container.NoSlot {
		e.records.Return(slot)
	}
}
