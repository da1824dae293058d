package cgroups

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
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
}

// name is what hosts call the hierarchy.
func (h Hierarchy) name() string {
	return strings.TrimPrefix(strings.Join(h.Controllers, ","), "name=")
}

// detect is the probe of this process's host; the mounts of hierarchies do
// not change while a host runs.
var detect = sync.OnceValues(func() (Layout, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Layout{}, fmt.Errorf("find cgroup hierarchies: %w", err)
	}
	defer f.Close()
	return parseLayout(f)
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
		if own, err := ownUnified(); err == nil && exists(mount+own+"/memory.swap.max") {
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
	for _, h := range l.V1 {
		if slices.Contains(h.Controllers, controller) {
			return h.Mount, 1
		}
	}
	if slices.Contains(l.UnifiedControllers, controller) {
		return l.Unified, 2
	}
	return "", 0
}

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

// parseLayout reads proc_pid_mountinfo(5). Of several mounts of one hierarchy
// the first that shows its root is taken: the others (a container's) show a part.
func parseLayout(r io.Reader) (Layout, error) {
	all, err := mountinfo.GetMountsFromReader(r, mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return Layout{}, fmt.Errorf("find cgroup hierarchies: %w", err)
	}
	slices.SortStableFunc(all, func(a, b *mountinfo.Info) int { return rootRank(a) - rootRank(b) })
	var l Layout
	seen := map[string]bool{}
	for _, m := range all {
		if m.FSType == "cgroup2" {
			if l.Unified == "" {
				l.Unified = m.Mountpoint
			}
			continue
		}
		controllers := v1Controllers(m.VFSOptions)
		key := strings.Join(controllers, ",")
		if key != "" && !seen[key] {
			seen[key] = true
			l.V1 = append(l.V1, Hierarchy{Mount: m.Mountpoint, Controllers: controllers})
		}
	}
	if l.Unified == "" && len(l.V1) == 0 {
		return Layout{}, fmt.Errorf("find cgroup hierarchies: none is mounted; run: mount -t cgroup2 cgroup2 /sys/fs/cgroup: %w", errdefs.ErrFailedPrecondition)
	}
	if l.Unified != "" {
		data, err := linux.ReadControl(l.Unified + "/cgroup.controllers")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return Layout{}, fmt.Errorf("find cgroup controllers: %w", err)
		}
		l.UnifiedControllers = strings.Fields(data)
	}
	return l, nil
}

func rootRank(m *mountinfo.Info) int {
	if m.Root == "/" {
		return 0
	}
	return 1
}

// v1Controllers picks the controllers out of a version 1 mount's super
// options; the other words there are options of the file system.
func v1Controllers(options string) []string {
	var out []string
	for o := range strings.SplitSeq(options, ",") {
		switch {
		case o == "ro", o == "rw", o == "none", o == "xattr", o == "noprefix",
			o == "clone_children", o == "cpuset_v2_mode", o == "favordynmods", o == "nofavordynmods":
		case strings.HasPrefix(o, "release_agent="), o == "":
		default:
			out = append(out, o)
		}
	}
	return out
}

// ownUnified is this process's path in the version 2 hierarchy.
func ownUnified() (string, error) {
	data, err := linux.ReadControl("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(data) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return strings.TrimSuffix(p, "/"), nil
		}
	}
	return "", os.ErrNotExist
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
