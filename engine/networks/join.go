package networks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/container"
	"berth/container/hostfiles"
	"berth/internal/atomicfile"
	"berth/network"
	"berth/network/portmap"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	mnetwork "github.com/moby/moby/api/types/network"
)

// sandboxName is the file of a running container's sandbox.
const sandboxName = "network.json"

// maxSandbox bounds what is read of it: 65,535 ports of three protocols, twice.
const maxSandbox = 64 << 20

// Prepare completes what a create request says about networks, and refuses what
// could not be joined.
func (v *Verbs) Prepare(h *mcontainer.HostConfig, asked map[string]*mnetwork.EndpointSettings, exposed mnetwork.PortSet) (map[string]*mnetwork.EndpointSettings, error) {
	if _, err := portmap.Parse(h.PortBindings, exposed, h.PublishAllPorts); err != nil {
		return nil, err
	}
	if _, ok := byPlugins(h); ok {
		return v.preparePlugins(h, asked, exposed)
	}
	mode := h.NetworkMode
	if mode.IsContainer() { // what was asked for beside it is checked
		return nil, nil //nolint:nilnil // none, which is no error
	}
	if mode.IsHost() || mode.IsNone() {
		for name := range asked {
			if name != string(mode) {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("--network %s excludes network %s", mode, name))
			}
		}
		return nil, nil //nolint:nilnil // none, which is no error
	}
	first := string(mode)
	if mode == "" || mode.IsDefault() {
		h.NetworkMode, first = mnetwork.NetworkDefault, mnetwork.NetworkBridge
	}
	names := map[string]*mnetwork.EndpointSettings{}
	all := maps.Clone(asked)
	if all == nil {
		all = map[string]*mnetwork.EndpointSettings{}
	}
	if s, ok := all[mnetwork.NetworkDefault]; ok {
		delete(all, mnetwork.NetworkDefault)
		all[mnetwork.NetworkBridge] = s
	}
	if _, ok := all[first]; !ok {
		all[first] = nil
	}
	for ref, settings := range all {
		n, err := v.c.Networks.Get(ref)
		if err != nil {
			return nil, err
		}
		if settings == nil {
			settings = &mnetwork.EndpointSettings{}
		}
		if _, twice := names[n.Name]; twice && ref != first {
			continue // once by its id, as NetworkMode, and once by its name
		}
		names[n.Name] = settings
		if ref == first && !h.NetworkMode.IsDefault() {
			h.NetworkMode = mcontainer.NetworkMode(n.Name)
		}
	}
	return names, v.c.Networks.Check(wants(h.NetworkMode, names))
}

// Of are the networks of a container with what was asked for.
func Of(rec *container.Record) map[string]*mnetwork.EndpointSettings {
	if rec.Networks != nil {
		return rec.Networks
	}
	mode := rec.HostConfig.NetworkMode
	if mode == "" || mode.IsDefault() {
		mode = mnetwork.NetworkBridge
	}
	return map[string]*mnetwork.EndpointSettings{string(mode): {}}
}

// wants are networks in the order of their interfaces: that of NetworkMode, then by name.
func wants(mode mcontainer.NetworkMode, names map[string]*mnetwork.EndpointSettings) []network.Want {
	first := string(mode)
	if mode.IsDefault() {
		first = mnetwork.NetworkBridge
	}
	var all []network.Want
	if s, ok := names[first]; ok {
		all = append(all, network.Want{Ref: first, Settings: s})
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if name != first {
			all = append(all, network.Want{Ref: name, Settings: names[name]})
		}
	}
	return all
}

// joins says whether a container is in networks of berth's.
func joins(rec *container.Record) bool {
	mode := rec.HostConfig.NetworkMode
	if _, ok := byPlugins(rec.HostConfig); ok {
		return false
	}
	return !mode.IsHost() && !mode.IsContainer() && !mode.IsNone()
}

// request is a container's for its networks.
func request(rec *container.Record) (network.Request, error) {
	r := network.Request{
		Container: rec.ID, Name: rec.Name, Hostname: rec.Config.Hostname, Servers: rec.HostConfig.DNS,
		Networks: wants(rec.HostConfig.NetworkMode, Of(rec)),
	}
	var err error
	r.Ports, err = portmap.Parse(rec.HostConfig.PortBindings, rec.Config.ExposedPorts, rec.HostConfig.PublishAllPorts)
	return r, err
}

// Join prepares the networks of a container that is about to start, and its host
// files in dir. nil: it has only a loopback interface, the host's or one of plugins.
func (v *Verbs) Join(rec *container.Record, dir string) (sb *network.Sandbox, err error) {
	if !joins(rec) {
		return nil, nil //nolint:nilnil // none, which is no error
	}
	r, err := request(rec)
	if err != nil || len(r.Networks) == 0 {
		return nil, err
	}
	if sb, err = v.c.Networks.Join(r); err != nil {
		return nil, err
	}
	if err = v.store(sb); err == nil {
		err = hostfiles.Write(dir, rec.ID, rec.Config, rec.HostConfig, seen(sb))
	}
	if err != nil {
		return nil, errors.Join(err, v.Leave(rec.ID))
	}
	return sb, nil
}

// seen is what a container's host files tell of its networks.
func seen(sb *network.Sandbox) hostfiles.Network {
	if sb == nil {
		return hostfiles.Network{}
	}
	return hostfiles.Network{Addresses: sb.Addresses(), Servers: sb.Resolvers(), Gateway: sb.HostGateway()}
}

// moved stores the sandbox of a running container that was another before, and
// tells the container in its host files.
func (v *Verbs) moved(c *container.Container, before, after *network.Sandbox) error {
	rec := c.Record()
	return errors.Join(v.store(after),
		hostfiles.Update(c.Dir(), rec.ID, rec.Config, rec.HostConfig, seen(before), seen(after)))
}

// store keeps a sandbox for the next daemon. The run directory does not outlive
// a reboot: nothing has to be durable.
func (v *Verbs) store(sb *network.Sandbox) error {
	data, err := json.Marshal(sb)
	if err != nil {
		return fmt.Errorf("encode the networks of container %s: %w", sb.Name, err)
	}
	if err := atomicfile.WriteVolatile(filepath.Join(v.c.RunDir(sb.Container), sandboxName), data, 0o600); err != nil {
		return fmt.Errorf("store the networks of container %s: %w", sb.Name, err)
	}
	return nil
}

// Renamed tells the networks of a container that it has another name.
func (v *Verbs) Renamed(id, name string) error {
	sb := v.c.Networks.Rename(id, name)
	if sb == nil {
		return nil
	}
	return v.store(sb)
}

// Leave gives back what a container had that has ended. It may be repeated.
func (v *Verbs) Leave(id string) error {
	return errors.Join(v.c.Networks.Leave(id), v.c.Plugins.Delete(context.Background(), id))
}

// Entered tells the networks which process is in a container's network namespace.
func (v *Verbs) Entered(id string, pid int) error { return v.c.Networks.Entered(id, pid) }

// Unpublished is a warning if ports are to be published where nothing is.
func (v *Verbs) Unpublished(h *mcontainer.HostConfig, names map[string]*mnetwork.EndpointSettings) []string {
	lans := v.c.Networks.Unpublished(wants(h.NetworkMode, names))
	if len(lans) == 0 || len(h.PortBindings) == 0 && !h.PublishAllPorts {
		return nil
	}
	return []string{"published ports are discarded with --network " + strings.Join(lans, ", ") + ": there the container itself is reached"}
}

// Restore takes what an adopted container has, whose first process is pid. The ports that it is to
// have are in its record: a daemon that was killed while they were changed had answered nobody yet, or had
// stored the record.
func (v *Verbs) Restore(rec *container.Record, pid int) error {
	return errors.Join(v.restorePlugins(rec, pid), v.restoreSandbox(rec, pid))
}

func (v *Verbs) restoreSandbox(rec *container.Record, pid int) error {
	id := rec.ID
	f, err := os.Open(filepath.Join(v.c.RunDir(id), sandboxName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSandbox))
	if err != nil {
		return err
	}
	var sb network.Sandbox
	if err := json.Unmarshal(data, &sb); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if sb.Container != id {
		return fmt.Errorf("read %s: it is of container %q", f.Name(), sb.Container)
	}
	r, err := request(rec)
	if err != nil {
		return err
	}
	ports := slices.Clone(sb.Ports)
	now, err := v.c.Networks.Restore(&sb, r.Ports, pid)
	if !slices.Equal(ports, now.Ports) {
		err = errors.Join(err, v.store(now))
	}
	return err
}

// Reconcile makes the host agree with the containers that were restored.
func (v *Verbs) Reconcile() error {
	return errors.Join(v.c.Networks.Reconcile(), v.c.Plugins.Sweep())
}
