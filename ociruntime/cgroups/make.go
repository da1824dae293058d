package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"berth/internal/cleanup"
	"berth/internal/linux"
	"berth/ociruntime/cgroups/limit"
	"berth/ociruntime/cgroups/systemd"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Args say which cgroup to make for a container.
type Args struct {
	// Path is the spec's linux.cgroupsPath, which may be relative or empty.
	Path string
	// ID is the container's. It names the cgroup if Path does not.
	ID string
	// Resources are the limits; nil for none.
	Resources *specs.LinuxResources
	// Systemd: Path is "slice:prefix:name", and systemd makes the cgroup.
	Systemd bool
	// Annotations are the spec's, of which some are for systemd.
	Annotations map[string]string
	// Owner, unless 0, is the host's user id that may make groups below
	// this one: root of a container that sees its cgroup as writable. Version 2 only.
	Owner int
}

// Place finds where a container's cgroup goes and what its limits mean there,
// as runc does. It makes nothing: [Cgroup.Make] does, and until then the doors
// and a record can be asked for. A limit that this host does not have is a
// *LimitError.
//
// A user who may not make cgroups gets one in no hierarchy (see [Cgroup.None])
// if neither a path nor a limit was asked for.
func Place(ctx context.Context, a Args) (*Cgroup, error) {
	l, err := Detect()
	if err != nil {
		return nil, err
	}
	return l.placeFor(ctx, a)
}

func (l Layout) placeFor(ctx context.Context, a Args) (c *Cgroup, err error) {
	res := specs.LinuxResources{}
	if a.Resources != nil {
		res = *a.Resources
	}
	if a.Systemd {
		if c, err = l.placeUnit(ctx, a); err == nil {
			systemd.RoundQuota(&res)
			c.unit.resources = &res
		}
	} else {
		c, err = l.place(a.Path, a.ID)
	}
	if err != nil {
		return nil, err
	}
	res.Devices = fromNothing(res.Devices)
	if err := c.prepare(&res); err != nil {
		return nil, err
	}
	c.todo.adopt, c.todo.owner = true, a.Owner
	if a.Path == "" && !a.Systemd {
		c.dropForbidden()
		for _, s := range c.todo.settings {
			if !s.Optional && c.version(s.Controller) == 0 {
				return nil, notDelegated(s)
			}
		}
	}
	// Make looks again, but by then it is written down that the cgroup is the
	// container's: somebody else's must not get that far.
	if !c.None() && exists(c.home()) {
		for _, d := range c.dirs() {
			if err := checkUnused(d); err != nil {
				return nil, fmt.Errorf("create cgroup %s: %w", c.path, err)
			}
		}
	}
	return c, nil
}

// dropForbidden takes out the hierarchies in which this user may not make the
// cgroup.
func (c *Cgroup) dropForbidden() {
	for _, d := range append(pointers(c.v1), &c.unified) {
		if *d != "" && notAllowed(linux.MayWrite(path.Dir(*d))) {
			*d = ""
		}
	}
}

func pointers(list []string) []*string {
	var out []*string
	for i := range list {
		out = append(out, &list[i])
	}
	return out
}

// todo is what is left to do of making a cgroup.
type todo struct {
	settings []limit.Setting
	devices  deviceRules
	// adopt: use an existing cgroup that no process is in, rather than replace it.
	adopt bool
	owner int
}

// prepare finds what the limits are here. It is pure.
func (c *Cgroup) prepare(res *specs.LinuxResources) error {
	settings, err := limit.Compile(c.version, res)
	if err != nil {
		return err
	}
	devices, err := c.devices(res)
	if err != nil {
		return err
	}
	c.todo = todo{settings: settings, devices: devices}
	return nil
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

func (l Layout) create(ctx context.Context, p string, res *specs.LinuxResources) (*Cgroup, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	c := l.At(p)
	if err := c.prepare(res); err != nil {
		return nil, err
	}
	if err := c.Make(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Make makes a cgroup that Place found. Missing parents are made and stay. A
// cgroup that exists is used as it is, if it has no processes and is not
// frozen; else errdefs.ErrAlreadyExists. Unless a rule allows more, only the
// devices that every container has can be used. A limit that cannot be applied
// is a *LimitError. On failure nothing is left behind but parents, and what was
// there before stays.
func (c *Cgroup) Make(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("create cgroup %s: %w", c.path, err)
	}
	tree := c.tree()
	defer tree.Close()
	var undo cleanup.Stack
	defer undo.Run(&err)
	if c.unit != nil {
		if err := c.startUnit(ctx); err != nil {
			return err
		}
		undo.Add(func() error { return c.stopUnit(context.WithoutCancel(ctx)) })
	}
	undo.Add(func() error { return c.unmake(tree) })
	if err := c.mkdirs(tree); err != nil {
		return err
	}
	if err := c.enable(tree, c.todo.settings); err != nil {
		return err
	}
	if err := c.inheritCpuset(tree); err != nil {
		return fmt.Errorf("create cgroup %s: %w", c.path, err)
	}
	if err := c.apply(tree, c.todo.settings); err != nil {
		return err
	}
	if err := c.todo.devices.apply(c, tree); err != nil {
		return err
	}
	if err := c.chown(c.todo.owner); err != nil {
		return err
	}
	undo.Release()
	return nil
}

// mkdirs makes the cgroup's directory in every hierarchy.
func (c *Cgroup) mkdirs(tree *linux.ControlTree) error {
	for i, h := range c.layout.V1 {
		if err := c.mkdir(tree, c.v1[i], len(h.Mount)); err != nil {
			return fmt.Errorf("create cgroup %s: %w", c.path, err)
		}
	}
	if err := c.mkdir(tree, c.unified, len(c.layout.Unified)); err != nil {
		return fmt.Errorf("create cgroup %s: %w", c.path, err)
	}
	return nil
}

// notAllowed tells whether an ordinary user, or a read-only cgroup file system, is the reason.
func notAllowed(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// mkdir makes dir, whose first root bytes are the hierarchy's mount point, and
// the parents it lacks.
func (c *Cgroup) mkdir(tree *linux.ControlTree, dir string, root int) error {
	if dir == "" {
		return nil
	}
	err := c.mkdirOne(tree, dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := c.mkdirParents(tree, path.Dir(dir), root); err != nil {
			return err
		}
		err = c.mkdirOne(tree, dir)
	}
	if errors.Is(err, fs.ErrExist) {
		if c.unit != nil && c.unit.started {
			return nil // systemd made it; a unit of another's could not be started
		}
		if c.todo.adopt {
			return checkUnused(dir)
		}
		// rmdir(2) succeeds only if no process and no child is inside; the
		// directory that replaces it has no limits of an earlier owner.
		if busy := tree.Rmdir(dir); busy != nil {
			return fmt.Errorf("%s is in use by another container; remove that one or choose another path: %w", dir, errdefs.ErrAlreadyExists)
		}
		err = c.mkdirOne(tree, dir)
	}
	if err == nil {
		c.made = append(c.made, dir)
	}
	return err
}

// checkUnused refuses to put a container among processes that are not its
// own, or into a group where it would stand still.
func checkUnused(dir string) error {
	pids, err := pidsBelow(dir)
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return fmt.Errorf("%s has %d processes; remove the container that they belong to or choose another cgroup: %w", dir, len(pids), errdefs.ErrAlreadyExists)
	}
	for file, frozen := range map[string]string{"/cgroup.freeze": "1", "/freezer.self_freezing": "1"} {
		if data, err := linux.ReadControl(dir + file); err == nil && strings.TrimSpace(data) == frozen {
			return fmt.Errorf("%s is frozen; thaw it or choose another cgroup: %w", dir, errdefs.ErrAlreadyExists)
		}
	}
	return nil
}

// mkdirParents makes dir and what it lacks above it. Others may do the same at
// the same time.
func (c *Cgroup) mkdirParents(tree *linux.ControlTree, dir string, root int) error {
	if len(dir) <= root {
		return nil
	}
	err := c.mkdirOne(tree, dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := c.mkdirParents(tree, path.Dir(dir), root); err != nil {
			return err
		}
		err = c.mkdirOne(tree, dir)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if cpuset, v := c.dir("cpuset"); err == nil && v == 1 && strings.HasPrefix(cpuset, dir+"/") {
		// The groups below it then start out with its CPUs, without our
		// copying them. One that refuses is filled by inheritCpuset.
		_ = tree.Write(dir+"/cgroup.clone_children", "1")
	}
	return err
}

func (c *Cgroup) mkdirOne(tree *linux.ControlTree, dir string) error {
	if err := tree.Mkdir(dir); err != nil || c.layout.made == nil {
		return err
	}
	return c.layout.made(dir)
}

// Abandon undoes Make: it removes the directories that it made, and leaves those that
// were there before.
func (c *Cgroup) Abandon(ctx context.Context) error {
	if c.unit != nil {
		return c.Delete(ctx)
	}
	return c.remove(ctx, c.made)
}

// unmake removes the directories that were made, while no process has joined.
func (c *Cgroup) unmake(tree *linux.ControlTree) error {
	var first error
	for _, d := range c.made {
		if err := tree.Rmdir(d); err != nil && !errors.Is(err, fs.ErrNotExist) && first == nil {
			first = err
		}
	}
	return first
}

// inheritCpuset gives the cgroup its parent's CPUs and memory nodes: in version
// 1 both start out empty, and no process may join an empty set.
func (c *Cgroup) inheritCpuset(tree *linux.ControlTree) error {
	dir, version := c.dir("cpuset")
	if version != 1 {
		return nil
	}
	mount, _ := c.layout.find("cpuset")
	for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
		before, err := inherit(tree, dir, len(mount), file)
		if err != nil {
			return err
		}
		if before && file == "/cpuset.cpus" {
			return nil // cgroup.clone_children filled both
		}
	}
	return nil
}

// inherit fills an empty file of dir from the parent's, and tells whether it
// had something in it before.
func inherit(tree *linux.ControlTree, dir string, root int, file string) (before bool, err error) {
	data, err := tree.Read(dir + file)
	if err != nil || strings.TrimSpace(data) != "" || len(dir) <= root {
		return err == nil, err
	}
	parent := path.Dir(dir)
	for range 2 {
		data, err = tree.Read(parent + file)
		if err != nil {
			return false, err
		}
		if data = strings.TrimSpace(data); data != "" {
			break
		}
		if _, err := inherit(tree, parent, root, file); err != nil {
			return false, err
		}
	}
	return false, tree.Write(dir+file, data)
}
