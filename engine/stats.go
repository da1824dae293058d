package engine

import (
	"context"

	"berth/container/proctable"
	"berth/engine/report"
	"berth/engine/share"

	mcontainer "github.com/moby/moby/api/types/container"
)

// Stats tells what the kernel has counted for a container. One that does not
// run has only its name.
func (e *Engine) Stats(_ context.Context, ref string) (mcontainer.StatsResponse, error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return mcontainer.StatsResponse{}, err
	}
	out := mcontainer.StatsResponse{ID: c.ID(), Name: "/" + c.Record().Name, OSType: "linux"}
	p, err := e.liveOf(c).running(c.Record().Name)
	if err != nil || p.Cgroup() == nil {
		return out, nil //nolint:nilerr // Docker answers zeros
	}
	s, err := p.Cgroup().Stats()
	if err != nil {
		return out, err
	}
	host, err := e.Host()
	if err != nil {
		return out, err
	}
	report.Stats(&out, &s, uint64(host.Memory))
	out.Networks, err = e.Counters(share.NetworkOf(c, e.records.Get).ID())
	return out, err
}

// Top lists a container's processes, seen from the host: nothing runs in the
// container, so a fake ps there tells nothing.
func (e *Engine) Top(_ context.Context, ref string) (mcontainer.TopResponse, error) {
	top := mcontainer.TopResponse{Titles: proctable.Titles(), Processes: [][]string{}}
	c, err := e.records.Get(ref)
	if err != nil {
		return top, err
	}
	p, err := e.liveOf(c).running(c.Record().Name)
	if err != nil {
		return top, err
	}
	pids, err := p.Pids()
	if err != nil {
		return top, err
	}
	top.Processes = proctable.Rows(pids)
	return top, nil
}
