package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"berth/api/docker"
	"berth/content"
	"berth/engine"
	"berth/image"
	"berth/image/toolbox"
	"berth/internal/places"
	"berth/layer"
	"berth/network"
	"berth/network/cni"
	"berth/ociruntime/lifecycle"
	"berth/registry"
	"berth/registry/credential"
	"berth/snapshot/overlay"
	"berth/spec"
	"berth/spec/hostinfo"
)

// shutdownLimit is how long open requests may take when the daemon ends.
const shutdownLimit = 5 * time.Second

// serve runs the daemon until ctx ends or it is idle.
func serve(ctx context.Context, o options, stderr io.Writer) (err error) {
	if o.inside, err = findInside(); err != nil {
		return err
	}
	// A daemon started on demand has the umask of somebody's shell; files that
	// containers see (resolv.conf, volumes) must be readable for their users.
	syscall.Umask(0o022)
	log, closeLog, err := openLog(o, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	for _, dir := range []string{o.root, o.run} {
		if err := privateDir(dir); err != nil {
			return err
		}
	}
	if o.inside == nil { // else the daemon outside holds them, and we do
		locks, err := lockDirs(ctx, o)
		if err != nil {
			return err
		}
		defer locks.release()
	}
	e, err := open(ctx, o, log)
	if err != nil {
		return err
	}
	defer e.Close()
	listener, err := listen(o)
	if err != nil {
		return err
	}
	return serveAPI(ctx, o, e, listener, log)
}

// open wires the rooms.
func open(ctx context.Context, o options, log *slog.Logger) (*engine.Engine, error) {
	runtime, err := lifecycle.New()
	if err != nil {
		return nil, err
	}
	snapshots, err := overlay.Open(o.root, layer.Unpack)
	if err != nil {
		return nil, err
	}
	blobs, err := content.Open(filepath.Join(o.root, "content"))
	if err != nil {
		return nil, err
	}
	client := registry.New(registry.Config{
		HostsDir: "/etc/berth/certs.d", Insecure: o.insecure, UserAgent: "berth/" + version,
		Credentials: credentials, Dial: o.inside.dial(),
	})
	networks, err := openNetworks(ctx, o, log)
	if err != nil {
		return nil, err
	}
	return engine.Open(ctx, engine.Config{
		Root: o.root, Run: o.run, Version: version, Networks: networks, Plugins: cni.New(ctx, cni.Config{
			ConfDirs: o.cniConf, BinDirs: o.cniBin, Dir: filepath.Join(o.root, "cni"), Timeout: o.cniTimeout, Log: log,
		}),
		Images: image.New(blobs, snapshots, client), Snapshots: snapshots, Runtime: runtime,
		Host: o.host, Embedded: toolbox.Open, Rootless: o.inside != nil, HostServers: o.inside.servers(), Log: log,
	})
}

// host tells what the machine has for this daemon.
func (o options) host() (spec.Host, error) {
	h, err := hostinfo.Read()
	h.Rootless = o.inside != nil
	return h, err
}

func openNetworks(ctx context.Context, o options, log *slog.Logger) (*network.Networks, error) {
	c := network.Config{
		Root: filepath.Join(o.root, "networks"), Run: filepath.Join(o.run, "network"), Suffix: suffix(o.root),
		Lock: "/run/berth-networks.lock", ResolvConf: "/etc/resolv.conf", Log: log,
	}
	if o.inside != nil {
		if err := o.inside.networks(&c, o.run); err != nil {
			return nil, err
		}
	}
	return network.Open(ctx, c)
}

// suffix tells the devices and rules of a berthd with a data root of its own from
// those of the host's usual one.
func suffix(root string) string {
	if filepath.Clean(root) == places.Root {
		return ""
	}
	sum := sha256.Sum256([]byte(filepath.Clean(root)))
	return hex.EncodeToString(sum[:3])
}

// credentials reads the login for a registry at each use, so that a login takes
// effect at once.
func credentials(ctx context.Context, host, repository string) (credential.Credential, error) {
	f, err := credential.Load(credential.Path())
	if err != nil {
		return credential.Credential{}, err
	}
	return f.Get(ctx, host, repository)
}

// serveAPI answers requests until the end is asked for.
func serveAPI(ctx context.Context, o options, e *engine.Engine, l *net.UnixListener, log *slog.Logger) error {
	idle := newIdleWatch(e.Busy, o.idle)
	api := docker.New(e, log)
	api.Version = version
	server := api.HTTP()
	server.ConnState = idle.connState
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	server.BaseContext = func(net.Listener) context.Context { return base }
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(docker.Guard(l, log)) }() // joined below
	log.Info("berthd serves", "socket", l.Addr().String(), "root", o.root, "version", version)
	var idleEnd <-chan struct{}
	if o.onDemand {
		idleEnd = idle.run(ctx)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-idleEnd:
		log.Info("berthd ends: nothing to do")
	case <-ctx.Done():
		log.Info("berthd ends: asked to; containers go on")
	}
	// Requests that wait for something end now; those that work may finish.
	limit, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer stop()
	closed := make(chan error, 1)
	go func() { closed <- server.Shutdown(limit) }() // closes the socket at once; joined below
	cancel(errors.New("berthd ends"))
	e.Close() // attached clients, whom Shutdown does not know, get their end
	err := <-closed
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if serr := <-failed; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
