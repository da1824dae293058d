package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/hierarchy"
	"berth/ociruntime/cgroups/limit"

	"github.com/containerd/errdefs"
)

// Mode is the kind of a host's cgroup hierarchies.
type Mode int

// The kinds. Hybrid has controllers in version 1 hierarchies and a version 2
// hierarchy, with or without controllers, beside them.
const (
	V1 Mode = iota + 1
	Hybrid
	V2
)

// String returns "v1", "hybrid" or "v2".
func (m Mode) String() string {
	switch m {
	case V1:
		return "v1"
	case Hybrid:
		return "hybrid"
	case V2:
		return "v2"
	}
	return "unknown"
}

// Layout says which cgroup hierarchies are mounted where.
type Layout struct {
	// Unified is the mount point of the version 2 hierarchy, or "".
	Unified string
	// UnifiedControllers are the controllers that the version 2 hierarchy offers.
	UnifiedControllers []string
	// UnifiedRoot is the part of that hierarchy that is mounted: "/" unless
	// this process is in a container without a cgroup namespace.
	UnifiedRoot string
	// V1 are the version 1 hierarchies in the order of mountinfo.
	V1 []Hierarchy

	// made, if set, is called after each directory is made. Tests populate
	// a directory with control files there, as the kernel does.
	made func(dir string) error
}

// Hierarchy is one version 1 hierarchy.
type Hierarchy struct {
	// Mount is its mount point.
	Mount string
	// Controllers are the controllers in it ("cpu", "cpuacct"), or the one
	// name of a hierarchy without any ("name=systemd").
	Controllers []string
	// Root is the part of the hierarchy that is mounted there.
	Root string
}

// name is what hosts call the hierarchy.
func (h Hierarchy) name() string {
	return strings.TrimPrefix(strings.Join(h.Controllers, ","), "name=")
}

// usual is where hosts mount their hierarchies: version 2 there if it is alone,
// else the hierarchies below it.
const usual = "/sys/fs/cgroup"

// cgroup2Magic is version 2's file system type (CGROUP2_SUPER_MAGIC, linux/magic.h).
const cgroup2Magic = 0x63677270

// detect is the probe of this process's host; the mounts of hierarchies do
// not change while a host runs.
var detect = sync.OnceValues(func() (Layout, error) {
	// As runc: version 2 mounted there is all there is. It saves reading a mount
	// table that grows with the host's containers.
	if magic, err := linux.FilesystemType(usual); err == nil && magic == cgroup2Magic {
		return Layout{Unified: usual, UnifiedRoot: "/"}.withControllers()
	}
	mounts, err := hierarchy.ReadMounts()
	if err != nil {
		return Layout{}, err
	}
	return layoutOf(mounts)
})

// Detect finds the cgroup hierarchies of this host, once per process. A host
// without any is errdefs.ErrFailedPrecondition.
func Detect() (Layout, error) { return detect() }

// Mode tells the kind.
func (l Layout) Mode() Mode {
	switch {
	case l.Unified == "":
		return V1
	case len(l.V1) == 0:
		return V2
	}
	return Hybrid
}

// Controllers returns all controllers of the host, sorted.
func (l Layout) Controllers() []string {
	all := slices.Clone(l.UnifiedControllers)
	for _, h := range l.V1 {
		for _, c := range h.Controllers {
			if !strings.HasPrefix(c, "name=") {
				all = append(all, c)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// SwapAccounting tells whether swap can be limited (--memory-swap).
func (l Layout) SwapAccounting() bool {
	mount, version := l.find("memory")
	switch version {
	case 1:
		return exists(mount + "/memory.memsw.limit_in_bytes")
	case 2:
		// The root has no memory.swap.max; any group below it shows whether
		// the kernel keeps count.
		if own, err := hierarchy.ReadOwn(); err == nil && exists(mount+own.Unified+"/memory.swap.max") {
			return true
		}
		found, err := filepath.Glob(mount + "/*/memory.swap.max")
		return err == nil && len(found) > 0
	}
	return false
}

// find returns the mount point of the hierarchy that has the controller and
// its version, 1 or 2; 0 if there is none.
func (l Layout) find(controller string) (mount string, version int) {
	if controller == limit.Core && l.Unified != "" {
		return l.Unified, 2
	}
	for _, h := range l.V1 {
		if h.has(controller) {
			return h.Mount, 1
		}
	}
	if l.offers(controller) {
		return l.Unified, 2
	}
	return "", 0
}

// offers tells whether the version 2 hierarchy has the controller.
func (l Layout) offers(controller string) bool {
	return slices.Contains(l.UnifiedControllers, controller)
}

func (h Hierarchy) has(controller string) bool { return slices.Contains(h.Controllers, controller) }

// mounts returns the mount points of all hierarchies.
func (l Layout) mounts() []string {
	all := make([]string, 0, len(l.V1)+1)
	for _, h := range l.V1 {
		all = append(all, h.Mount)
	}
	if l.Unified != "" {
		all = append(all, l.Unified)
	}
	return all
}

// layoutOf chooses among the mounts. Of several of one hierarchy the first that
// shows its root is taken: the others (a container's) show a part.
func layoutOf(mounts []hierarchy.Mount) (Layout, error) {
	var l Layout
	for _, m := range mounts {
		switch {
		case m.Version == 1:
			l.addV1(Hierarchy{Mount: m.Path, Root: m.Root, Controllers: m.Controllers})
		case l.Unified == "" || l.UnifiedRoot != "/" && m.Root == "/":
			l.Unified, l.UnifiedRoot = m.Path, m.Root
		}
	}
	if l.Unified == "" && len(l.V1) == 0 {
		return Layout{}, fmt.Errorf("find cgroup hierarchies: none is mounted; run: mount -t cgroup2 cgroup2 /sys/fs/cgroup: %w", errdefs.ErrFailedPrecondition)
	}
	return l.withControllers()
}

// addV1 takes h, or the better of h and an earlier mount of the same hierarchy.
func (l *Layout) addV1(h Hierarchy) {
	for i, earlier := range l.V1 {
		if slices.Equal(earlier.Controllers, h.Controllers) {
			if earlier.Root != "/" && h.Root == "/" {
				l.V1[i] = h
			}
			return
		}
	}
	l.V1 = append(l.V1, h)
}

// withControllers reads which controllers version 2 offers.
func (l Layout) withControllers() (Layout, error) {
	if l.Unified == "" {
		return l, nil
	}
	data, err := linux.ReadControl(l.Unified + "/cgroup.controllers")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Layout{}, fmt.Errorf("find cgroup controllers: %w", err)
	}
	l.UnifiedControllers = strings.Fields(data)
	return l, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
