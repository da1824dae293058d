package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"berth/internal/cleanup"
	"berth/internal/linux"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// unifiedCore stands for the files "cgroup.*" of the version 2 hierarchy where
// a controller is asked for.
const unifiedCore = "cgroup"

// Cgroup is one control group: a directory of the same path in every
// hierarchy. It holds no open file and no state, and is safe for concurrent
// use as far as its calls do not contradict each other.
type Cgroup struct {
	path   string
	layout Layout
}

// Create makes the cgroup at path (absolute from the hierarchies' roots, such
// as "/berth/<id>") and applies all limits of res, which may be nil. Missing
// parents are made and stay. An empty cgroup left over at path is replaced; one
// in use is errdefs.ErrAlreadyExists. A limit that cannot be applied is a
// *LimitError. On failure nothing is left behind but parents.
func Create(ctx context.Context, path string, res *specs.LinuxResources) (*Cgroup, error) {
	l, err := Detect()
	if err != nil {
		return nil, err
	}
	return l.create(ctx, path, res)
}

// Open finds the cgroup at path again: errdefs.ErrNotFound if no hierarchy has it.
func Open(path string) (*Cgroup, error) {
	l, err := Detect()
	if err != nil {
		return nil, err
	}
	return l.open(path)
}

// At names the cgroup at path without looking whether it exists.
func (l Layout) At(path string) *Cgroup { return &Cgroup{path: path, layout: l} }

// Path is the cgroup's path from the hierarchies' roots.
func (c *Cgroup) Path() string { return c.path }

// Join is one door into a cgroup. A process must pass all of Joins.
type Join struct {
	// Name is the hierarchy's: "memory", "cpu,cpuacct", "unified".
	Name string
	// Path is a tasks file (cgroup v1), or with Clone a directory (v2).
	Path string
	// Clone: give an O_PATH file of the directory to clone3(2) with
	// CLONE_INTO_CGROUP. Otherwise the new process, while it has a single
	// thread, writes "0" into the file, before it unshares its cgroup
	// namespace. The file may be opened by the parent. Neither way waits for
	// the kernel's lock over thread groups, as writing a pid would.
	Clone bool
}

// Joins returns the doors of all hierarchies, that of version 2 last.
func (c *Cgroup) Joins() []Join {
	joins := make([]Join, 0, len(c.layout.V1)+1)
	for _, h := range c.layout.V1 {
		joins = append(joins, Join{Name: h.name(), Path: h.Mount + c.path + "/tasks"})
	}
	if c.layout.Unified != "" {
		joins = append(joins, Join{Name: "unified", Path: c.layout.Unified + c.path, Clone: true})
	}
	return joins
}

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
	dirs := make([]Dir, 0, len(c.layout.V1)+1)
	for _, h := range c.layout.V1 {
		dirs = append(dirs, Dir{Name: h.name(), Path: h.Mount + c.path})
	}
	switch c.layout.Mode() {
	case Hybrid:
		dirs = append(dirs, Dir{Name: "unified", Path: c.layout.Unified + c.path})
	case V2:
		dirs = append(dirs, Dir{Path: c.layout.Unified + c.path})
	}
	return dirs
}

func (l Layout) open(p string) (*Cgroup, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	c := &Cgroup{path: p, layout: l}
	for _, d := range c.dirs() {
		if exists(d) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("open cgroup %s: %w", p, errdefs.ErrNotFound)
}

func (l Layout) create(ctx context.Context, p string, res *specs.LinuxResources) (_ *Cgroup, err error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	settings, err := l.settings(res)
	if err != nil {
		return nil, err
	}
	devices, err := l.devices(res)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("create cgroup %s: %w", p, err)
	}
	c := &Cgroup{path: p, layout: l}
	var undo cleanup.Stack
	defer undo.Run(&err)
	if err := c.enable(settings); err != nil {
		return nil, err
	}
	for _, d := range c.dirs() {
		if err := l.mkdir(d, len(d)-len(p)); err != nil {
			return nil, fmt.Errorf("create cgroup %s: %w", p, err)
		}
		undo.Add(func() error { return rmdir(d) })
	}
	if err := c.inheritCpuset(); err != nil {
		return nil, fmt.Errorf("create cgroup %s: %w", p, err)
	}
	if err := c.apply(settings, nil); err != nil {
		return nil, err
	}
	if err := devices.apply(c); err != nil {
		return nil, err
	}
	undo.Release()
	return c, nil
}

// dirs returns the cgroup's directory in every hierarchy.
func (c *Cgroup) dirs() []string {
	dirs := c.layout.mounts()
	for i := range dirs {
		dirs[i] += c.path
	}
	return dirs
}

// dir returns the cgroup's directory in the hierarchy of the controller, and
// the hierarchy's version; 0 if the host does not have the controller.
func (c *Cgroup) dir(controller string) (dir string, version int) {
	mount, version := c.layout.find(controller)
	if controller == unifiedCore && c.layout.Unified != "" {
		mount, version = c.layout.Unified, 2
	}
	if version == 0 {
		return "", 0
	}
	return mount + c.path, version
}

// mkdir makes dir, whose first root bytes are the hierarchy's mount point, and
// the parents it lacks.
func (l Layout) mkdir(dir string, root int) error {
	err := l.mkdirOne(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := l.mkdirParents(path.Dir(dir), root); err != nil {
			return err
		}
		err = l.mkdirOne(dir)
	}
	if errors.Is(err, fs.ErrExist) {
		// rmdir(2) succeeds only if no process and no child is inside; the
		// directory that replaces it has no limits of an earlier owner.
		if busy := rmdir(dir); busy != nil {
			return fmt.Errorf("%s is in use by another container; remove that one or choose another path: %w", dir, errdefs.ErrAlreadyExists)
		}
		err = l.mkdirOne(dir)
	}
	return err
}

// mkdirParents makes dir and what it lacks above it. Others may do the same at
// the same time.
func (l Layout) mkdirParents(dir string, root int) error {
	if len(dir) <= root || exists(dir) {
		return nil
	}
	if err := l.mkdirParents(path.Dir(dir), root); err != nil {
		return err
	}
	if err := l.mkdirOne(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (l Layout) mkdirOne(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil || l.made == nil {
		return err
	}
	return l.made(dir)
}

// inheritCpuset gives the cgroup its parent's CPUs and memory nodes: in version
// 1 both start out empty, and no process may join an empty set.
func (c *Cgroup) inheritCpuset() error {
	dir, version := c.dir("cpuset")
	if version != 1 {
		return nil
	}
	mount, _ := c.layout.find("cpuset")
	for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
		if _, err := inherit(dir, len(mount), file); err != nil {
			return err
		}
	}
	return nil
}

// inherit returns what file holds in dir, after filling it from the parents if
// it was empty.
func inherit(dir string, root int, file string) (string, error) {
	data, err := linux.ReadControl(dir + file)
	if err != nil {
		return "", err
	}
	if data = strings.TrimSpace(data); data != "" || len(dir) <= root {
		return data, nil
	}
	data, err = inherit(path.Dir(dir), root, file)
	if err != nil {
		return "", err
	}
	return data, linux.WriteControl(dir+file, data)
}

// counted are the controllers that version 2 enables even without a limit, for Stats.
var counted = []string{"cpu", "io", "memory", "pids"}

// enable makes the controllers that are counted or needed available in the
// version 2 hierarchy, from its root down to the cgroup's parent
// (cgroup.subtree_control).
func (c *Cgroup) enable(settings []setting) error {
	need := map[string]string{} // controller: the flag that needs it, "" if it is only counted
	for _, controller := range counted {
		if _, v := c.layout.find(controller); v == 2 {
			need[controller] = ""
		}
	}
	for _, s := range settings {
		if _, v := c.layout.find(s.controller); v == 2 {
			need[s.controller] = s.flag
		}
	}
	if len(need) == 0 {
		return nil
	}
	dir := c.layout.Unified
	for _, name := range strings.Split(c.path[1:], "/") {
		if err := enableIn(dir, need); err != nil {
			return err
		}
		dir += "/" + name
		if dir == c.layout.Unified+c.path {
			break
		}
		if err := c.layout.mkdirOne(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("create cgroup %s: %w", c.path, err)
		}
	}
	return nil
}

// enableIn enables the needed controllers for the children of dir. One that is
// only counted may stay off.
func enableIn(dir string, need map[string]string) error {
	file := dir + "/cgroup.subtree_control"
	data, err := linux.ReadControl(file)
	if err != nil {
		return fmt.Errorf("enable cgroup controllers: %w", err)
	}
	have := strings.Fields(data)
	var missing []string
	for _, controller := range slices.Sorted(maps.Keys(need)) {
		if !slices.Contains(have, controller) {
			missing = append(missing, controller)
		}
	}
	if len(missing) == 0 || linux.WriteControl(file, "+"+strings.Join(missing, " +")) == nil {
		return nil
	}
	for _, controller := range missing { // all or nothing failed: find out which
		err := linux.WriteControl(file, "+"+controller)
		if flag := need[controller]; err != nil && flag != "" {
			return &LimitError{
				Flag: flag, Class: errdefs.ErrFailedPrecondition, Err: errnoOf(err),
				Reason: "enable the " + controller + " controller in " + dir,
				Remedy: "move the processes of that cgroup into a child cgroup first",
			}
		}
	}
	return nil
}

// checkPath refuses a path that is not absolute, clean and below the root.
func checkPath(p string) error {
	bad := len(p) > 3500 || p == "/" || !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsAny(p, "\n\x00")
	for name := range strings.SplitSeq(p, "/") {
		bad = bad || len(name) > 255 || strings.HasPrefix(name, "cgroup.")
	}
	if bad {
		return fmt.Errorf("cgroup path %q: it must be absolute, without . and .., such as /berth/name: %w", p, errdefs.ErrInvalidArgument)
	}
	return nil
}
