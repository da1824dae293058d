package engine

import (
	"context"

	"github.com/moby/moby/api/types/events"
)

// Rename gives a container another name.
func (e *Engine) Rename(ctx context.Context, ref, name string) error {
	c, unlock, err := e.lock(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	old := c.Record().Name
	if err := e.records.Rename(c, name); err != nil {
		return err
	}
	if err := e.Renamed(c.ID(), c.Record().Name); err != nil {
		return err
	}
	e.publish(c, events.ActionRename, "oldName", "/"+old)
	return nil
}

// Resize sets the size of a container's terminal, in cells.
func (e *Engine) Resize(_ context.Context, ref string, height, width uint16) error {
	c, err := e.records.Get(ref)
	if err != nil {
		return err
	}
	p, err := e.liveOf(c).running(c.Record().Name)
	if err != nil {
		return err
	}
	if !c.Record().Config.Tty {
		return invalid("container %s has no terminal", c.Record().Name)
	}
	return p.Resize(width, height)
}
