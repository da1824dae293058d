package cgroups

import (
	"fmt"
	"io/fs"
	"path"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/limit"
	"berth/ociruntime/cgroups/stats"

	"github.com/containerd/errdefs"
)

// Cgroup is one control group: a directory in every hierarchy. It holds no open
// file, and is safe for concurrent use as far as its calls do not contradict
// each other.
type Cgroup struct {
	path    string
	layout  Layout
	v1      []string // the directory in each of layout.V1
	unified string   // the directory in the version 2 hierarchy, or ""
	todo    todo     // what is left for Make
	made    []string // the directories that Make made
	unit    *unit    // if systemd makes it
}

// None tells whether this stands for no cgroup: a container of a user who may
// not make any. It can be made, joined, killed and deleted, which does nothing;
// what needs a cgroup is errdefs.ErrFailedPrecondition.
func (c *Cgroup) None() bool { return len(c.v1) == 0 && c.unified == "" || len(c.dirs()) == 0 }

// needed is the error for what cannot be done without a cgroup.
func (c *Cgroup) needed(what string) error {
	if !c.None() {
		return nil
	}
	return fmt.Errorf("%s: the container has no cgroup, because this user may not make one: %s: %w", what, delegate, errdefs.ErrFailedPrecondition)
}

// Open finds the cgroup at path, absolute from the hierarchies' roots, again:
// errdefs.ErrNotFound if no hierarchy has it.
func Open(path string) (*Cgroup, error) {
	l, err := Detect()
	if err != nil {
		return nil, err
	}
	return l.open(path)
}

// At names the cgroup at path without looking whether it exists.
func (l Layout) At(path string) *Cgroup {
	c := &Cgroup{path: path, layout: l, v1: make([]string, len(l.V1))}
	for i, h := range l.V1 {
		c.v1[i] = h.Mount + path
	}
	if l.Unified != "" {
		c.unified = l.Unified + path
	}
	return c
}

func (l Layout) open(p string) (*Cgroup, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	c := l.At(p)
	if !c.exists() {
		return nil, fmt.Errorf("open cgroup %s: %w", p, goneError{})
	}
	return c, nil
}

// Path is the cgroup's path from the hierarchies' roots, or where it was made
// for a relative path, that path.
func (c *Cgroup) Path() string { return c.path }

// Dir is the cgroup's directory in one hierarchy.
type Dir struct {
	// Name is the hierarchy's, as hosts name its mount point below
	// /sys/fs/cgroup: "memory", "cpu,cpuacct", "systemd", "unified". It is
	// "" where version 2 is alone and mounted there itself.
	Name string
	// Path is the directory on the host.
	Path string
}

// Dirs returns the cgroup's directory in every hierarchy, version 2 last.
func (c *Cgroup) Dirs() []Dir {
	dirs := make([]Dir, 0, len(c.v1)+1)
	for i, h := range c.layout.V1 {
		if c.v1[i] != "" {
			dirs = append(dirs, Dir{Name: h.name(), Path: c.v1[i]})
		}
	}
	switch {
	case c.unified == "":
	case len(c.layout.V1) > 0:
		dirs = append(dirs, Dir{Name: "unified", Path: c.unified})
	default:
		dirs = append(dirs, Dir{Path: c.unified})
	}
	return dirs
}

// dirs returns the cgroup's directory in every hierarchy.
func (c *Cgroup) dirs() []string {
	all := make([]string, 0, len(c.v1)+1)
	for _, d := range c.v1 {
		if d != "" {
			all = append(all, d)
		}
	}
	if c.unified != "" {
		all = append(all, c.unified)
	}
	return all
}

// dir returns the cgroup's directory in the hierarchy of the controller, and
// the hierarchy's version; 0 if the host does not have the controller, or the
// cgroup could not be made there.
func (c *Cgroup) dir(controller string) (dir string, version int) {
	for i, h := range c.layout.V1 {
		if h.has(controller) && c.v1[i] != "" {
			return c.v1[i], 1
		}
	}
	if c.unified != "" && (controller == limit.Core || c.layout.offers(controller)) {
		return c.unified, 2
	}
	return "", 0
}

// version is the version of the controller's hierarchy.
func (c *Cgroup) version(controller string) int {
	_, v := c.dir(controller)
	return v
}

// exists tells whether any hierarchy has the cgroup.
func (c *Cgroup) exists() bool {
	for _, d := range c.dirs() {
		if exists(d) {
			return true
		}
	}
	return false
}

// home is the directory in which the cgroup's processes are found, frozen and
// killed: the version 2 one where there is one.
func (c *Cgroup) home() string {
	if c.unified != "" {
		return c.unified
	}
	for _, controller := range []string{"freezer", "pids", "memory"} {
		if dir, v := c.dir(controller); v != 0 {
			return dir
		}
	}
	return c.dirs()[0]
}

// tree speeds up the use of many of the cgroup's files.
func (c *Cgroup) tree() *linux.ControlTree {
	switch {
	case c.None():
		return nil
	case len(c.layout.V1) == 0:
		return linux.OpenControlTree(c.layout.Unified)
	}
	return linux.OpenControlTree(path.Dir(c.layout.V1[0].Mount))
}

// The counters, under the names that callers use.
type (
	// Stats is what the kernel has counted for a cgroup and those below it.
	Stats = stats.Stats
	// CPUStats are its times.
	CPUStats = stats.CPUStats
	// MemoryStats are its bytes.
	MemoryStats = stats.MemoryStats
	// PidsStats are its processes and threads.
	PidsStats = stats.PidsStats
	// IOEntry is one counter of a block device.
	IOEntry = stats.IOEntry
)

// Unlimited is the value of a limit that is not set.
const Unlimited = stats.Unlimited

// LimitError is a limit that was asked for and that this host cannot apply.
type LimitError = limit.Error

// goneError is what is said of a cgroup that does not exist.
type goneError struct{}

func (goneError) Error() string { return "it does not exist" }

// Is says that it is both what this room and what a file says.
func (goneError) Is(target error) bool {
	return target == errdefs.ErrNotFound || target == fs.ErrNotExist
}

// Stats reads the counters. A cgroup that was deleted is errdefs.ErrNotFound,
// and fs.ErrNotExist.
func (c *Cgroup) Stats() (Stats, error) {
	if err := c.needed("read statistics"); err != nil {
		return Stats{}, err
	}
	if !c.exists() {
		return Stats{}, fmt.Errorf("read statistics of cgroup %s: %w", c.path, goneError{})
	}
	s, err := stats.Collect(c.group())
	if err != nil {
		return s, fmt.Errorf("read statistics of cgroup %s: %w", c.path, err)
	}
	return s, nil
}

// FullStats reads all that is counted. A cgroup that was deleted is as with Stats.
func (c *Cgroup) FullStats() (stats.Full, error) {
	if err := c.needed("read statistics"); err != nil {
		return stats.Full{}, err
	}
	if !c.exists() {
		return stats.Full{}, fmt.Errorf("read statistics of cgroup %s: %w", c.path, goneError{})
	}
	f, err := stats.CollectAll(c.group())
	if err != nil {
		return f, fmt.Errorf("read statistics of cgroup %s: %w", c.path, err)
	}
	return f, nil
}

// OOMKilled tells whether the kernel killed a process of the cgroup, or of one
// below it, for want of memory. It holds until Delete. A host without the memory
// controller never says so.
func (c *Cgroup) OOMKilled() (bool, error) {
	n, err := stats.OOMKills(c.group())
	if err != nil {
		return false, fmt.Errorf("read out-of-memory kills of cgroup %s: %w", c.path, err)
	}
	return n > 0, nil
}

// WatchOOM waits for such kills.
func (c *Cgroup) WatchOOM() (*stats.OOMWatch, error) { return stats.WatchOOM(c.group()) }

func (c *Cgroup) group() stats.Group {
	g := stats.Group{Dir: c.dir}
	if len(c.layout.V1) == 0 {
		g.Pure = c.unified
	}
	return g
}
