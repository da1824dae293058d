package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"berth/container"
	"berth/container/rootfs"
	"berth/internal/linux"
	"berth/ociruntime/lifecycle"
	"berth/spec"

	"github.com/containerd/errdefs"
	mcontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// buildPlaces are the parts of a spec that exist only for a start.
type buildPlaces struct {
	// dry builds only to find what is wrong with the request.
	dry        bool
	files      spec.Files
	mounts     []spec.Mount
	namespaces map[specs.LinuxNamespaceType]string
}

// buildSpec makes the OCI runtime spec of a container.
func (e *Engine) buildSpec(rec *container.Record, user spec.User, p buildPlaces) (*specs.Spec, error) {
	host, err := e.Host()
	if err != nil {
		return nil, err
	}
	if p.dry {
		if p.mounts, err = dryMounts(rec); err != nil {
			return nil, err
		}
		p.namespaces = dryNamespaces(rec.HostConfig)
	}
	in := spec.Input{
		ID: rec.ID, Image: ocispec.ImageConfig{}, Config: rec.Config, HostConfig: rec.HostConfig,
		User: user, Files: p.files, Mounts: p.mounts, Namespaces: p.namespaces,
		CgroupsPath: cgroupPath(rec.ID), Host: host,
	}
	if spec.OwnIDs(rec.HostConfig) {
		slot := max(rec.Slot, 0)
		in.IDs = spec.IDRange{Host: container.HostID(slot), Size: container.RangeSize}
	}
	return spec.Build(in)
}

// dryMounts gives volumes a directory that stands for theirs.
func dryMounts(rec *container.Record) ([]spec.Mount, error) {
	mounts, err := spec.Mounts(*rec.Config, rec.HostConfig)
	for i := range mounts {
		if mounts[i].Type == mount.TypeVolume {
			mounts[i].Source = "/"
		}
	}
	return mounts, err
}

// shared are the namespaces of other containers that a request joins.
func shared(h *mcontainer.HostConfig) map[specs.LinuxNamespaceType]string {
	m := map[specs.LinuxNamespaceType]string{}
	for kind, mode := range map[specs.LinuxNamespaceType]string{
		specs.NetworkNamespace: string(h.NetworkMode), specs.PIDNamespace: string(h.PidMode), specs.IPCNamespace: string(h.IpcMode),
	} {
		if ref, ok := strings.CutPrefix(mode, "container:"); ok {
			m[kind] = ref
		}
	}
	return m
}

func dryNamespaces(h *mcontainer.HostConfig) map[specs.LinuxNamespaceType]string {
	m := shared(h)
	for kind := range m {
		m[kind] = "/proc/self/ns/mnt"
	}
	return m
}

// joinNamespaces finds the namespaces of running containers.
func (e *Engine) joinNamespaces(h *mcontainer.HostConfig) (map[specs.LinuxNamespaceType]string, error) {
	files := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.PIDNamespace: "pid", specs.IPCNamespace: "ipc"}
	m := shared(h)
	for kind, ref := range m {
		c, err := e.records.Get(ref)
		if err != nil {
			return nil, fmt.Errorf("join the %s namespace: %w", kind, err)
		}
		proc, err := e.liveOf(c).running(ref)
		if err != nil {
			return nil, fmt.Errorf("join the %s namespace: %w", kind, err)
		}
		m[kind] = fmt.Sprintf("/proc/%d/ns/%s", proc.Pid(), files[kind])
	}
	return m, nil
}

// userCache remembers what was found in images' user files. A container that
// was never started has exactly its image's.
type userCache struct {
	mu    sync.Mutex
	found map[string]spec.User // guarded by mu
}

// maxCachedUsers bounds the cache; it is emptied when full.
const maxCachedUsers = 256

func (u *userCache) get(key string) (spec.User, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	user, ok := u.found[key]
	return user, ok
}

func (u *userCache) put(key string, user spec.User) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.found == nil || len(u.found) >= maxCachedUsers {
		u.found = map[string]spec.User{}
	}
	u.found[key] = user
}

// lookInside finds the container's user in its root and makes its working
// directory.
func (e *Engine) lookInside(rec *container.Record, o linux.Overlay) (spec.User, error) {
	fresh := rec.State.StartedAt.IsZero()
	key := strings.Join(append([]string{rec.Image, rec.Config.WorkingDir, rec.Config.User}, rec.HostConfig.GroupAdd...), "\x00")
	if user, ok := e.users.get(key); ok && fresh {
		return user, nil
	}
	root, err := linux.MountOverlay(o)
	if err != nil {
		return spec.User{}, fmt.Errorf("look into the container's root: %w", err)
	}
	defer root.Close()
	user, err := resolveUser(root, rec.Config.User, rec.HostConfig.GroupAdd)
	if err != nil {
		return spec.User{}, err
	}
	made := false
	if dir := rec.Config.WorkingDir; strings.HasPrefix(dir, "/") && dir != "/" {
		if made, err = rootfs.MakeWorkdir(root, dir); err != nil {
			return spec.User{}, err
		}
	}
	if fresh && !made {
		e.users.put(key, user)
	}
	return user, nil
}

func resolveUser(root *os.File, name string, groups []string) (spec.User, error) {
	passwd, group, err := rootfs.UserFiles(root)
	if err != nil {
		return spec.User{}, err
	}
	return spec.ResolveUser(name, groups, passwd, group)
}

// explainStart turns the runtime's error into what the user can act on. Only
// now, after the failure, is the command looked at.
func (e *Engine) explainStart(o linux.Overlay, p *specs.Process, err error) error {
	var step *lifecycle.StepError
	if !errors.As(err, &step) {
		return err
	}
	if !step.Exec {
		return fmt.Errorf("start the container: %w", err)
	}
	root, merr := linux.MountOverlay(o)
	if merr != nil {
		return errors.Join(err, merr)
	}
	defer root.Close()
	return explainExec(root, p, step.Errno)
}

func explainExec(root *os.File, p *specs.Process, errno syscall.Errno) error {
	return rootfs.Explain(root, rootfs.Command{Name: p.Args[0], Dir: p.Cwd, Env: p.Env}, errno)
}

// Explain prints a container's plan.
func (e *Engine) Explain(ctx context.Context, ref string) (string, error) {
	c, err := e.records.Get(ref)
	if err != nil {
		return "", err
	}
	rec := c.Record()
	o, err := e.Snapshots.Prepare(ctx, rec.ID, chainOf(&rec))
	if err != nil {
		return "", err
	}
	user, err := e.lookInside(&rec, o)
	if err != nil {
		return "", err
	}
	return e.explain(&rec, o, user, buildPlaces{files: filesOf(c.Dir(), rec.HostConfig)})
}

// ExplainRequest prints the plan of a container that a request would make.
func (e *Engine) ExplainRequest(ctx context.Context, r CreateRequest) (string, error) {
	e.images.RLock()
	defer e.images.RUnlock()
	rec, _, err := e.prepareRecord(ctx, r)
	if err != nil {
		return "", err
	}
	rec.ID = strings.Repeat("0", 64)
	// Nothing is made: the writable layer is only named.
	view, err := e.Snapshots.View(chainOf(&rec))
	if err != nil {
		return "", err
	}
	o := view
	o.Upper, o.Work = filepath.Join("containers", rec.ID, "upper"), filepath.Join("containers", rec.ID, "work")
	root, err := linux.MountOverlay(view)
	if err != nil {
		return "", fmt.Errorf("look into the image: %w", err)
	}
	defer root.Close()
	user, err := resolveUser(root, rec.Config.User, rec.HostConfig.GroupAdd)
	if err != nil {
		return "", err
	}
	return e.explain(&rec, o, user, buildPlaces{files: spec.Files{}})
}

func (e *Engine) explain(rec *container.Record, o linux.Overlay, user spec.User, p buildPlaces) (string, error) {
	var err error
	if p.mounts, err = dryMounts(rec); err != nil {
		return "", err
	}
	if p.namespaces, err = e.joinNamespaces(rec.HostConfig); err != nil && !errdefs.IsConflict(err) {
		return "", err
	}
	s, err := e.buildSpec(rec, user, p)
	if err != nil {
		return "", err
	}
	return e.Runtime.Explain(lifecycle.Args{
		ID: rec.ID, Spec: s, Rootfs: &o, RunDir: e.runDir(rec.ID), OpenStdin: rec.Config.OpenStdin,
	})
}
