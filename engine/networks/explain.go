package networks

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"berth/container"
	"berth/network/explain"
	"berth/network/firewall"

	"github.com/containerd/errdefs"
)

// NetworkReport says who reaches a container, and what it reaches.
type NetworkReport = explain.Report

// NetworkExplain says who reaches a running container and what it reaches, as the kernel's
// rules are now. A container with another's network is explained by that. Class Conflict if it does not run.
func (v *Verbs) NetworkExplain(ctx context.Context, ref string) (*NetworkReport, error) {
	c, unlock, err := v.c.Lock(ctx, ref)
	if err != nil {
		return nil, err
	}
	rec := c.Record()
	mode := rec.HostConfig.NetworkMode
	if !mode.IsContainer() {
		defer unlock()
		return v.explain(&rec)
	}
	unlock() // before the other's is taken: nobody waits for two
	if rec.State.Pid == 0 {
		return nil, notRunning(&rec)
	}
	other, unlock, err := v.c.Lock(ctx, mode.ConnectedContainer())
	if err != nil {
		return nil, fmt.Errorf("container %s shares a network: %w", rec.Name, err)
	}
	defer unlock()
	owner := other.Record()
	if owner.State.Pid != 0 && namespaceOf(rec.State.Pid) != namespaceOf(owner.State.Pid) {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"container %s has a network that ended with the last run of container %s: berth restart %s joins the present one", rec.Name, owner.Name, rec.Name))
	}
	report, err := v.explain(&owner)
	if err != nil {
		return nil, fmt.Errorf("container %s shares a network: %w", rec.Name, err)
	}
	report.Container, report.ID = rec.Name, rec.ID
	report.Note = "It has the network of container " + owner.Name + ": the same addresses and published ports."
	return report, nil
}

func (v *Verbs) explain(rec *container.Record) (*NetworkReport, error) {
	mode := rec.HostConfig.NetworkMode
	switch {
	case rec.State.Pid == 0:
		return nil, notRunning(rec)
	case mode.IsHost():
		return alone(rec, "It has the host's own network (--network host): who reaches the host reaches it, and no rule of berth's concerns it."), nil
	case mode.IsNone() && len(rec.Networks) == 0:
		return alone(rec, "It has no network (--network none): nobody reaches it, and it reaches nobody."), nil
	}
	f, err := v.facts(rec.ID)
	if err != nil {
		return nil, err
	}
	return explain.Explain(f), nil
}

// namespaceOf names a process's network namespace; empty if the process has ended.
func namespaceOf(pid int) string {
	name, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return ""
	}
	return name
}

// alone is the report of a container that is in no network of berth's.
func alone(rec *container.Record, note string) *NetworkReport {
	return &NetworkReport{
		Container: rec.Name, ID: rec.ID, Note: note, Networks: []explain.Network{}, Inward: []explain.Target{}, Outward: []explain.Path{},
		Names: []string{}, Foreign: []firewall.Chain{}, Problems: []string{},
	}
}

func notRunning(rec *container.Record) error {
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s does not run: what reaches it is known when it does: berth start %s", rec.Name, rec.Name))
}
