package engine

import (
	"context"

	"berth/container"

	mcontainer "github.com/moby/moby/api/types/container"
)

// WaitResult is Docker's answer to a wait, and what a container that removes
// itself can tell nobody afterwards.
type WaitResult struct {
	mcontainer.WaitResponse
	// OOMKilled: the kernel killed one of its processes for want of memory.
	OOMKilled bool `json:",omitempty"`
}

// Wait registers a wait for a container and returns the function that waits.
// What happens between both is not missed.
func (e *Engine) Wait(_ context.Context, ref string, until mcontainer.WaitCondition) (func(context.Context) (WaitResult, error), error) {
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
			return r.State.Status == container.Dead // it could not be removed
		default:
			return ended
		}
	}
	return func(ctx context.Context) (WaitResult, error) {
		rec, err := c.WaitFor(ctx, reached)
		if err != nil {
			return WaitResult{}, err
		}
		result := WaitResult{
			WaitResponse: mcontainer.WaitResponse{StatusCode: int64(rec.State.ExitCode)},
			OOMKilled:    rec.State.OOMKilled,
		}
		if until == mcontainer.WaitConditionRemoved && rec.State.Status == container.Dead {
			result.Error = &mcontainer.WaitExitError{Message: "remove container " + rec.Name + ": " + rec.State.Error}
		}
		return result, nil
	}, nil
}
