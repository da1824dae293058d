// Package networks is the engine's verbs over networks, and a container's way into
// them when it starts and out of them when it ends.
//
// Level: L3, a subroom of engine.
// Owns: the order of networks of a container; network.json in its run directory; changes of published ports; namespaces for CNI plugins.
// May import: network and its subrooms, container, container/hostfiles, spec, events, engine/filter, internal/linux/netns.
// Must not know: how bridges, rules and names are made.
package networks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"berth/container"
	"berth/engine/filter"
	"berth/events"
	"berth/network"
	"berth/network/cni"

	"github.com/containerd/errdefs"
	mevents "github.com/moby/moby/api/types/events"
	mnetwork "github.com/moby/moby/api/types/network"
)

// Config is what the verbs need.
type Config struct {
	Networks *network.Networks
	Plugins  *cni.Networks
	Rootless bool // no plugins are run: berthd is an ordinary user's
	Bus      *events.Bus
	// Lock finds a container and takes its verb lock.
	Lock func(ctx context.Context, ref string) (*container.Container, func(), error)
	// Tell tells listeners what happened to a container.
	Tell func(c *container.Container, action mevents.Action, more ...string)
	// RunDir is the directory of a running container's records.
	RunDir func(id string) string
}

// Verbs are the verbs over networks. Its methods named Network... are the engine's.
type Verbs struct{ c Config }

// New returns the verbs.
func New(c Config) *Verbs { return &Verbs{c} }

// Close ends the name server; the networks stay.
func (v *Verbs) Close() error {
	v.c.Plugins.Close()
	return v.c.Networks.Close()
}

// NetworkCreate makes a network. A bad request is of class InvalidArgument, a
// name that is taken or a subnet in use of class Conflict.
func (v *Verbs) NetworkCreate(_ context.Context, r mnetwork.CreateRequest) (mnetwork.CreateResponse, error) {
	rec, err := v.c.Networks.Create(r)
	if err != nil {
		return mnetwork.CreateResponse{}, err
	}
	v.publish(rec, mevents.ActionCreate)
	return mnetwork.CreateResponse{ID: rec.ID}, nil
}

// NetworkList lists networks; the filters are driver, id, label, name, scope,
// type (custom or builtin) and dangling.
func (v *Verbs) NetworkList(_ context.Context, f filter.Set) ([]mnetwork.Inspect, error) {
	if err := f.Check("dangling", "driver", "id", "label", "name", "scope", "type"); err != nil {
		return nil, err
	}
	out := []mnetwork.Inspect{}
	for _, n := range v.c.Networks.List() {
		if match(f, n) {
			out = append(out, n)
		}
	}
	return out, nil
}

// builtin says whether berth itself made a network.
func builtin(name string) bool {
	return name == mnetwork.NetworkBridge || name == mnetwork.NetworkHost || name == mnetwork.NetworkNone
}

func match(f filter.Set, n mnetwork.Inspect) bool {
	kind, dangling := "custom", "false"
	if builtin(n.Name) {
		kind = "builtin"
	} else if len(n.Containers) == 0 {
		dangling = "true"
	}
	part := func(key string, has func(string) bool) bool {
		if len(f[key]) == 0 {
			return true
		}
		return slices.ContainsFunc(f[key], has)
	}
	return part("id", func(w string) bool { return strings.HasPrefix(n.ID, w) }) &&
		part("name", func(w string) bool { return strings.Contains(n.Name, w) }) &&
		part("dangling", func(w string) bool {
			return w == dangling || w == map[string]string{"true": "1", "false": "0"}[dangling]
		}) &&
		f.Match("driver", n.Driver) && f.Match("scope", n.Scope) && f.Match("type", kind) && f.MatchLabels(n.Labels)
}

// NetworkInspect tells about the network that ref names: an id, a prefix of one, or a name.
func (v *Verbs) NetworkInspect(_ context.Context, ref string) (mnetwork.Inspect, error) {
	return v.c.Networks.Get(ref)
}

// NetworkRemove removes a network. One that a running container is in is of class
// Conflict, a predefined one of class PermissionDenied.
func (v *Verbs) NetworkRemove(_ context.Context, ref string) error {
	rec, err := v.c.Networks.Remove(ref)
	if err != nil {
		return err
	}
	v.publish(rec, mevents.ActionDestroy)
	return nil
}

// NetworkPrune removes the networks that no running container is in.
func (v *Verbs) NetworkPrune(_ context.Context, f filter.Set) (mnetwork.PruneReport, error) {
	report := mnetwork.PruneReport{NetworksDeleted: []string{}}
	if err := f.Check("until", "label", "label!"); err != nil {
		return report, err
	}
	before, err := f.Until()
	if err != nil {
		return report, err
	}
	for _, n := range v.c.Networks.List() {
		without := filter.Set{"label": f["label!"]}
		switch {
		case builtin(n.Name), len(n.Containers) > 0, !before.IsZero() && n.Created.After(before),
			!f.MatchLabels(n.Labels), len(f["label!"]) > 0 && without.MatchLabels(n.Labels):
			continue
		}
		err := v.NetworkRemove(context.Background(), n.ID)
		if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
			continue // somebody removed or joined it
		}
		if err != nil {
			return report, err
		}
		report.NetworksDeleted = append(report.NetworksDeleted, n.Name)
	}
	return report, nil
}

// NetworkConnect puts a container, running or not, into a network.
func (v *Verbs) NetworkConnect(ctx context.Context, ref string, r mnetwork.ConnectRequest) error {
	n, err := v.c.Networks.Get(ref)
	if err != nil {
		return err
	}
	c, unlock, err := v.c.Lock(ctx, r.Container)
	if err != nil {
		return err
	}
	defer unlock()
	rec := c.Record()
	if err := joinable(&rec); err != nil {
		return err
	}
	if builtin(n.Name) && n.Name != mnetwork.NetworkBridge {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("container cannot be connected to the %s network: it is for a container alone", n.Name))
	}
	settings := r.EndpointConfig
	if settings == nil {
		settings = &mnetwork.EndpointSettings{}
	}
	names := Of(&rec)
	if _, in := names[n.Name]; in {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("endpoint with name %s already exists in network %s", rec.Name, n.Name))
	}
	want := network.Want{Ref: n.Name, Settings: settings}
	if rec.State.Pid == 0 {
		err = v.c.Networks.Check([]network.Want{want})
	} else {
		err = v.plug(c, want)
	}
	if err != nil {
		return err
	}
	names = maps.Clone(names)
	names[n.Name] = settings
	if err := c.Update(func(r *container.Record) error { r.Networks = names; return nil }); err != nil {
		return err
	}
	v.publish(n.Network, mevents.ActionConnect, "container", c.ID())
	return nil
}

func joinable(rec *container.Record) error {
	if mode := rec.HostConfig.NetworkMode; mode.IsHost() || mode.IsContainer() || strings.HasPrefix(string(mode), pluginPrefix) {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s has no network of its own (--network %s): it cannot be connected to another", rec.Name, mode))
	}
	if mode := rec.HostConfig.NetworkMode; mode.IsNone() && len(rec.Networks) == 0 {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s was made with --network none: it cannot be connected to a network", rec.Name))
	}
	return nil
}

// plug joins a running container to one more network.
func (v *Verbs) plug(c *container.Container, want network.Want) error {
	rec := c.Record()
	r, err := request(&rec)
	if err != nil {
		return err
	}
	r.Networks = []network.Want{want}
	before := v.c.Networks.Sandbox(rec.ID)
	sb, err := v.c.Networks.Connect(r, rec.State.Pid)
	if err != nil {
		return err
	}
	return v.moved(c, before, sb)
}

// NetworkDisconnect takes a container out of a network. With force it is no error
// that the container does not exist any more.
func (v *Verbs) NetworkDisconnect(ctx context.Context, ref string, r mnetwork.DisconnectRequest) error {
	n, err := v.c.Networks.Get(ref)
	if err != nil {
		return err
	}
	c, unlock, err := v.c.Lock(ctx, r.Container)
	if err != nil {
		if r.Force && errdefs.IsNotFound(err) {
			return nil
		}
		return err
	}
	defer unlock()
	rec := c.Record()
	names := Of(&rec)
	if _, in := names[n.Name]; !in || builtin(n.Name) && n.Name != mnetwork.NetworkBridge {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not connected to network %s", rec.Name, n.Name))
	}
	if rec.State.Pid != 0 {
		before := v.c.Networks.Sandbox(rec.ID)
		r, err := request(&rec)
		if err != nil {
			return err
		}
		r.Networks = []network.Want{{Ref: n.Name}}
		sb, err := v.c.Networks.Disconnect(r, rec.State.Pid)
		if err != nil {
			return err
		}
		if err := v.moved(c, before, sb); err != nil {
			return err
		}
	}
	names = maps.Clone(names)
	delete(names, n.Name)
	if err := c.Update(func(r *container.Record) error { r.Networks = names; return nil }); err != nil {
		return err
	}
	v.publish(n.Network, mevents.ActionDisconnect, "container", c.ID())
	return nil
}

// publish tells listeners what happened to a network.
func (v *Verbs) publish(n mnetwork.Network, action mevents.Action, more ...string) {
	attributes := map[string]string{"name": n.Name, "type": n.Driver}
	for i := 0; i+1 < len(more); i += 2 {
		attributes[more[i]] = more[i+1]
	}
	v.c.Bus.Publish(mevents.Message{
		Type: mevents.NetworkEventType, Action: action,
		Actor: mevents.Actor{ID: n.ID, Attributes: attributes},
	})
}
