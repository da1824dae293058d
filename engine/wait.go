package engine

import (
	"context"

	"berth/container"

	mcontainer "github.com/moby/moby/api/types/container"
)

// Wait registers a wait for a container and returns the function that waits.
// What happens between both is not missed.
func (e *Engine) Wait(_ context.Context, ref string, until mcontainer.WaitCondition) (func(context.Context) (mcontainer.WaitResponse, error), error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return nil, err
	}
	before := c.Record().State
	reached := func(r *container.Record) bool {
		if r.State.Status == container.Removed {
			return true
		}
		ended := !r.State.Status.Alive() && r.State.Status != container.Starting && r.State.Status != container.Restarting
		switch until {
		case mcontainer.WaitConditionNextExit:
			return ended && !r.State.FinishedAt.Equal(before.FinishedAt)
		case mcontainer.WaitConditionRemoved:
			return false
		default:
			return ended
		}
	}
	return func(ctx context.Context) (mcontainer.WaitResponse, error) {
		rec, err := c.WaitFor(ctx, reached)
		if err != nil {
			return mcontainer.WaitResponse{}, err
		}
		return mcontainer.WaitResponse{StatusCode: int64(rec.State.ExitCode)}, nil
	}, nil
}
