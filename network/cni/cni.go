// Package cni makes networks with CNI plugins: programs that furnish a network
// namespace as a list of configurations says (the CNI specification, version 1.1).
//
// Level: L2, a subroom of network.
// Owns: the calls of plugins, and the records of what they have made until it is gone.
// May import: the standard library, internal/atomicfile, internal/fault, network/portmap, errdefs, moby/moby/api, containernetworking/cni.
// Must not know: what a container is, and who makes namespaces.
//
// A record is on disk before the first plugin runs and until the last one has
// undone its work: whoever dies in between, the next daemon deletes what is left.
package cni

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"berth/internal/fault"
	"berth/network/portmap"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

// DefaultTimeout is how long all plugins of a list together may take.
const DefaultTimeout = time.Minute

// ifName is the interface that plugins make.
const ifName = "eth0"

// Config says where things are.
type Config struct {
	// ConfDirs have the configurations, BinDirs the plugins; the first that has one counts.
	ConfDirs, BinDirs []string
	// Dir is for the records. It outlives a reboot: so do the leases of plugins.
	Dir string
	// Timeout is for all plugins of a list together; a deletion has half of it.
	Timeout time.Duration
	Log     *slog.Logger
}

// Networks are the networks that plugins make. It is safe for concurrent use; what
// concerns one container is called one after the other.
type Networks struct {
	c    Config
	run  *runner
	lib  *libcni.CNIConfig
	life context.Context // ends with Close
	end  context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex
	live     map[string]*attachment   // guarded by mu; by container id
	restored map[string]bool          // guarded by mu; what Restore was called for is not swept
	undoing  map[string]chan struct{} // guarded by mu; closed when Sweep is done with a container
}

// New returns the networks. Close follows.
func New(ctx context.Context, c Config) *Networks {
	n := &Networks{c: c, live: map[string]*attachment{}, restored: map[string]bool{}, undoing: map[string]chan struct{}{}}
	if n.c.Timeout <= 0 {
		n.c.Timeout = DefaultTimeout
	}
	n.run = &runner{log: c.Log}
	n.lib = libcni.NewCNIConfigWithCacheDir(c.BinDirs, filepath.Join(c.Dir, "cache"), n.run)
	n.life, n.end = context.WithCancel(context.WithoutCancel(ctx))
	return n
}

// Close ends the plugins that run. Networks stay.
func (n *Networks) Close() {
	n.end()
	n.work.Wait()
}

// Request is what a container wants of a network.
type Request struct {
	Container, Network string
	Ports              []portmap.Want
	// Addresses and MAC are asked for; none is the plugins' choice.
	Addresses []string
	MAC       string
}

// capabilities are the arguments of a request by the capability that they need.
func (r Request) capabilities() (map[string]any, error) {
	args := map[string]any{}
	var ports []map[string]any
	for _, p := range r.Ports {
		if p.First == 0 || p.First != p.Last {
			return nil, invalid("publish port %d: plugins choose no port of the host: name one", p.Inside)
		}
		m := map[string]any{"hostPort": p.First, "containerPort": p.Inside, "protocol": string(p.Protocol)}
		if p.HostIP.IsValid() && !p.HostIP.IsUnspecified() {
			m["hostIP"] = p.HostIP.String()
		}
		ports = append(ports, m)
	}
	if len(ports) > 0 {
		args["portMappings"] = ports
	}
	if len(r.Addresses) > 0 {
		args["ips"] = r.Addresses
	}
	if r.MAC != "" {
		args["mac"] = r.MAC
	}
	return args, nil
}

// option is how users ask for a capability.
func option(capability string) string {
	return map[string]string{"portMappings": "-p", "ips": "--ip", "mac": "--mac-address"}[capability]
}

// Check finds what is wrong with a request without running anything. Of class
// NotFound for an unknown network, else InvalidArgument.
func (n *Networks) Check(r Request) error {
	_, _, err := n.prepare(r)
	return err
}

// prepare reads the network of a request.
func (n *Networks) prepare(r Request) (*libcni.NetworkConfigList, map[string]any, error) {
	list, err := n.find(r.Network)
	if err != nil {
		return nil, nil, err
	}
	args, err := r.capabilities()
	if err != nil {
		return nil, nil, err
	}
	can := map[string]bool{}
	for _, p := range list.Plugins {
		for name, has := range p.Network.Capabilities {
			can[name] = can[name] || has
		}
		if _, err := n.run.FindInPath(p.Network.Type, n.c.BinDirs); err != nil {
			return nil, nil, invalid("CNI network %s: plugin %.60q is not in %s: install it (package containernetworking-plugins)", r.Network, p.Network.Type, strings.Join(n.c.BinDirs, " or "))
		}
	}
	for name := range args {
		if !can[name] {
			return nil, nil, invalid("CNI network %s: no plugin of it has the capability %s: leave out %s", r.Network, name, option(name))
		}
	}
	return list, args, nil
}

// Add furnishes a network namespace, which is this call's from now on. If it fails
// nothing is left, or there is a record and the next Delete or daemon tries again.
func (n *Networks) Add(ctx context.Context, r Request, ns *os.File) (_ *Result, err error) {
	if err := n.Delete(ctx, r.Container); err != nil { // the end of the last run
		return nil, errors.Join(err, ns.Close())
	}
	list, args, err := n.prepare(r)
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	a := &attachment{Container: r.Container, Network: r.Network, List: recorded(list), Arguments: args, Ports: r.Ports, ns: ns}
	if err := n.save(a); err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	n.mu.Lock()
	n.live[r.Container] = a
	n.mu.Unlock()
	result, err := n.add(ctx, a, list)
	if err == nil {
		n.mu.Lock()
		a.Result = result
		n.mu.Unlock()
		err = n.save(a)
	}
	if err != nil {
		return nil, errors.Join(err, n.Delete(ctx, r.Container))
	}
	return result, nil
}

func (n *Networks) add(ctx context.Context, a *attachment, list *libcni.NetworkConfigList) (*Result, error) {
	var made types.Result
	err := n.call(ctx, n.c.Timeout, a.Network, "make", func(ctx context.Context) (err error) {
		if err := n.lib.GetStatusNetworkList(ctx, list); err != nil {
			return fmt.Errorf("it is not ready: %w", err)
		}
		made, err = n.lib.AddNetworkList(ctx, list, a.runtime())
		return err
	})
	if err != nil {
		return nil, err
	}
	var result *Result
	err = n.call(ctx, n.c.Timeout, a.Network, "read what plugins made of", func(context.Context) (err error) {
		result, err = read(made)
		return err
	})
	return result, err
}

// Delete undoes Add, and may be repeated. While it fails the record stays.
func (n *Networks) Delete(ctx context.Context, id string) error {
	n.mu.Lock()
	busy := n.undoing[id]
	n.mu.Unlock()
	if busy != nil {
		select {
		case <-busy:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	n.mu.Lock()
	a := n.live[id]
	n.mu.Unlock()
	if a == nil {
		var err error
		if a, err = n.load(id); a == nil || err != nil {
			return err
		}
	}
	return n.delete(ctx, a)
}

func (n *Networks) delete(ctx context.Context, a *attachment) error {
	list, err := a.List.read()
	if err != nil {
		return fmt.Errorf("delete CNI network %s: %w", a.Network, err)
	}
	err = n.call(ctx, n.c.Timeout/2, a.Network, "delete", func(ctx context.Context) error {
		return n.lib.DelNetworkList(ctx, list, a.runtime())
	})
	n.mu.Lock()
	delete(n.live, a.Container) // the namespace is of no use any more; the record is
	n.mu.Unlock()
	if a.ns != nil {
		err = errors.Join(err, a.ns.Close())
	}
	if err != nil {
		return err
	}
	return n.forget(a.Container)
}

// Restore takes what a container has that still runs. ns is its namespace, nil if
// that cannot be had; it is this call's from now on. It comes before Sweep. The plugins
// are not asked with CHECK: they compare the path of the namespace with that of ADD,
// which was another process's.
func (n *Networks) Restore(id string, ns *os.File) error {
	n.mu.Lock()
	n.restored[id] = true
	n.mu.Unlock()
	a, err := n.load(id)
	if a == nil || err != nil {
		if ns != nil {
			err = errors.Join(err, ns.Close())
		}
		return err
	}
	a.ns = ns
	n.mu.Lock()
	n.live[id] = a
	n.mu.Unlock()
	return nil
}

// Sweep begins to delete what is recorded of containers that were not restored. It is
// called once, before the first Add. Who starts one of them waits for it.
func (n *Networks) Sweep() error {
	all, err := n.records()
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range all {
		if n.restored[id] {
			continue
		}
		done := make(chan struct{})
		n.undoing[id] = done
		n.work.Go(func() {
			defer func() {
				n.mu.Lock()
				delete(n.undoing, id)
				n.mu.Unlock()
				close(done)
			}()
			a, err := n.load(id)
			if err == nil && a != nil {
				err = n.delete(n.life, a)
			}
			if err != nil {
				n.c.Log.Error("delete what plugins made for container", "container", id, "error", err)
			}
		})
	}
	return nil
}

// Attachment is what a running container has.
type Attachment struct {
	Result *Result
	Ports  []portmap.Want
}

// Attached tells what a running container has, nil if nothing.
func (n *Networks) Attached(id string) *Attachment {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.live[id]
	if a == nil || a.Result == nil {
		return nil
	}
	return &Attachment{Result: a.Result, Ports: a.Ports}
}

// call calls plugins by f, which ends when its context does.
func (n *Networks) call(ctx context.Context, limit time.Duration, network, what string, f func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(n.life, cancel)()
	defer func() {
		if p := recover(); p != nil { // the library trusts what plugins print
			err = fmt.Errorf("%s CNI network %s: a plugin's answer makes no sense: %v", what, network, p)
		}
	}()
	err = f(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Errorf(errdefs.ErrUnavailable, "%s CNI network %s: its plugins did not end within %s and were killed: %w", what, network, limit, &oneLine{err})
	}
	return fmt.Errorf("%s CNI network %s: %w", what, network, &oneLine{err})
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
