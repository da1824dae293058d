// Package bundle makes what the runtime is given out of a container's record:
// the OCI runtime spec, and the user and working directory found in its root.
//
// Level: L3, a subroom of engine.
// Owns: how a record becomes the input of package spec; the cache of users.
// May import: container, container/rootfs, engine/report, engine/share, spec, internal/atomicfile, internal/copytree, internal/linux, ociruntime/lifecycle.
// Must not know: when a container starts; volumes' directories; the API.
package bundle

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"berth/container"
	"berth/container/rootfs"
	"berth/engine/share"
	"berth/internal/linux"
	"berth/ociruntime/lifecycle"
	"berth/spec"

	"github.com/moby/moby/api/types/mount"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Builder makes bundles. It is safe for concurrent use.
type Builder struct {
	// Host tells what the machine has; asked for every bundle.
	Host func() (spec.Host, error)

	users userCache
}

// CgroupPath is a container's control group.
func CgroupPath(id string) string { return "/berth/" + id }

// Places are the parts of a spec that exist only for a start.
type Places struct {
	// Dry builds only to find what is wrong with the request.
	Dry    bool
	Files  spec.Files
	Mounts []spec.Mount
	// Namespaces are those of another container to be joined.
	Namespaces map[specs.LinuxNamespaceType]string
}

// Spec makes the OCI runtime spec of a container.
func (b *Builder) Spec(rec *container.Record, user spec.User, p Places) (*specs.Spec, error) {
	host, err := b.Host()
	if err != nil {
		return nil, err
	}
	if p.Dry {
		if p.Mounts, err = DryMounts(rec); err != nil {
			return nil, err
		}
	}
	in := spec.Input{
		ID: rec.ID, Image: ocispec.ImageConfig{}, Config: rec.Config, HostConfig: rec.HostConfig,
		User: user, Files: p.Files, Mounts: p.Mounts,
		CgroupsPath: CgroupPath(rec.ID), Host: host, Namespaces: p.Namespaces,
	}
	if in.Namespaces == nil {
		in.Namespaces = share.Placeholders(rec.HostConfig)
	}
	if host.Rootless {
		in.CgroupsPath = ""
	}
	if spec.OwnIDs(rec.HostConfig) {
		slot := max(rec.Slot, 0)
		in.IDs = spec.IDRange{Host: container.HostID(slot), Size: container.RangeSize}
	}
	return spec.Build(in)
}

// DryMounts gives volumes a directory that stands for theirs.
func DryMounts(rec *container.Record) ([]spec.Mount, error) {
	mounts, err := spec.Mounts(*rec.Config, rec.HostConfig)
	for i := range mounts {
		if mounts[i].Type == mount.TypeVolume {
			mounts[i].Source = "/"
		}
	}
	return mounts, err
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

// LookInside finds the container's user in its root and makes its working
// directory.
func (b *Builder) LookInside(rec *container.Record, o linux.Overlay) (spec.User, error) {
	fresh := rec.State.StartedAt.IsZero()
	key := strings.Join(append([]string{rec.Image, rec.Config.WorkingDir, rec.Config.User}, rec.HostConfig.GroupAdd...), "\x00")
	if user, ok := b.users.get(key); ok && fresh {
		return user, nil
	}
	root, err := linux.MountOverlay(o)
	if err != nil {
		return spec.User{}, fmt.Errorf("look into the container's root: %w", err)
	}
	defer root.Close()
	user, err := ResolveUser(root, rec.Config.User, rec.HostConfig.GroupAdd)
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
		b.users.put(key, user)
	}
	return user, nil
}

// ResolveUser finds a user in the files below root.
func ResolveUser(root *os.File, name string, groups []string) (spec.User, error) {
	passwd, group, err := rootfs.UserFiles(root)
	if err != nil {
		return spec.User{}, err
	}
	return spec.ResolveUser(name, groups, passwd, group)
}

// ExplainStart turns the runtime's error into what the user can act on. Only
// now, after the failure, is the command looked at.
func (b *Builder) ExplainStart(o linux.Overlay, s *specs.Spec, err error) error {
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
	return explain(rootfs.Tree{Root: root, Binds: binds(s.Mounts)}, s.Process, step.Errno)
}

// binds are the host's files that the container would have seen.
func binds(mounts []specs.Mount) map[string]string {
	out := map[string]string{}
	for _, m := range mounts {
		if m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind") {
			out[path.Clean(m.Destination)] = m.Source
		}
	}
	return out
}

// ExplainExec says why execve(2) of a further process failed. root is the root of
// the running container, with its mounts.
func ExplainExec(root *os.File, p *specs.Process, errno syscall.Errno) error {
	return explain(rootfs.Tree{Root: root}, p, errno)
}

func explain(t rootfs.Tree, p *specs.Process, errno syscall.Errno) error {
	return rootfs.Explain(t, rootfs.Command{Name: p.Args[0], Dir: p.Cwd, Env: p.Env}, errno)
}

// FilesOf are the files in a container's directory that are bound over its image's.
func FilesOf(c *container.Container) spec.Files {
	return spec.Files{Hosts: c.Path("hosts"), Hostname: c.Path("hostname"), ResolvConf: c.Path("resolv.conf")}
}
