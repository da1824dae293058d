package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/hierarchy"

	"github.com/containerd/errdefs"
)

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
	joins := make([]Join, 0, len(c.v1)+1)
	for i, h := range c.layout.V1 {
		if c.v1[i] != "" {
			joins = append(joins, Join{Name: h.name(), Path: c.v1[i] + "/tasks"})
		}
	}
	if c.unified != "" {
		joins = append(joins, Join{Name: "unified", Path: c.unified, Clone: true})
	}
	return joins
}

// OpenJoins opens the files of joins for the new process to pass.
func (c *Cgroup) OpenJoins(joins []Join) (_ []*os.File, err error) {
	tree := c.tree()
	defer tree.Close()
	files := make([]*os.File, 0, len(joins))
	defer func() {
		if err != nil {
			for _, f := range files {
				_ = f.Close() // nothing was written
			}
		}
	}()
	for _, j := range joins {
		open := tree.OpenWrite
		if j.Clone {
			open = tree.OpenDir
		}
		f, err := open(j.Path)
		if err != nil {
			return nil, fmt.Errorf("enter cgroup %s: %w", c.path, err)
		}
		files = append(files, f)
	}
	return files, nil
}

// ExecJoins returns the doors for a process that joins a running container whose
// init is process init. sub names existing groups below the container's, as the flag
// --cgroup of runc's exec does: none, one "path" for all hierarchies, or any
// number of "controller[,controller]:path" for version 1 hierarchies, the
// others staying the container's.
//
// A version 2 cgroup that has controllers enabled for groups below it takes no
// processes: the container's own init must have left it, and the process goes to
// where that is.
func (c *Cgroup) ExecJoins(sub []string, init int) ([]Join, error) {
	below, all, err := parseSub(sub)
	if err != nil {
		return nil, err
	}
	joins := make([]Join, 0, len(c.v1)+1)
	used := map[string]bool{}
	for i, h := range c.layout.V1 {
		if c.v1[i] == "" {
			continue
		}
		dir := c.v1[i] + all
		for _, controller := range h.Controllers {
			for _, name := range []string{controller, strings.TrimPrefix(controller, "name=")} {
				if p, ok := below[name]; ok {
					dir, used[name] = c.v1[i]+p, true
				}
			}
		}
		joins = append(joins, Join{Name: h.name(), Path: dir + "/tasks"})
	}
	for name := range below {
		if !used[name] {
			return nil, fmt.Errorf("--cgroup %s: no cgroup v1 hierarchy of this host has the controller %s: %w", strings.Join(sub, " "), name, errdefs.ErrInvalidArgument)
		}
	}
	if len(sub) > 0 {
		for _, j := range joins {
			if !exists(path.Dir(j.Path)) {
				return nil, noSub(path.Dir(j.Path), errdefs.ErrNotFound)
			}
		}
	}
	if c.unified == "" {
		return joins, nil
	}
	dir, err := c.execUnified(all, init)
	if err != nil {
		return nil, err
	}
	return append(joins, Join{Name: "unified", Path: dir, Clone: true}), nil
}

// execUnified finds the version 2 directory for a process that joins.
func (c *Cgroup) execUnified(sub string, init int) (string, error) {
	if sub != "" {
		dir := c.unified + sub
		if !exists(dir) {
			return "", noSub(dir, errdefs.ErrNotFound)
		}
		return dir, nil
	}
	data, err := linux.ReadControl(c.unified + "/cgroup.subtree_control")
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENODEV) {
		return "", fmt.Errorf("enter cgroup %s: %w", c.path, err)
	}
	if err != nil || strings.TrimSpace(data) == "" {
		return c.unified, nil
	}
	data, err = linux.ReadControl("/proc/" + strconv.Itoa(init) + "/cgroup")
	if err != nil {
		return "", fmt.Errorf("find the cgroup of the container's process %d: %w", init, err)
	}
	dir := c.layout.Unified + hierarchy.Below(c.layout.UnifiedRoot, hierarchy.ParseOwn(data).Unified)
	if dir != c.unified && !strings.HasPrefix(dir, c.unified+"/") {
		return "", fmt.Errorf("enter cgroup %s: the container's process %d has left it for %s: %w", c.path, init, dir, errdefs.ErrFailedPrecondition)
	}
	return dir, nil
}

// parseSub reads the values of --cgroup. all is the path for all hierarchies,
// "" or with a slash in front, below are those of single controllers.
func parseSub(sub []string) (below map[string]string, all string, err error) {
	bad := func(s, why string) error {
		return fmt.Errorf("--cgroup %s: %s: %w", s, why, errdefs.ErrInvalidArgument)
	}
	for _, s := range sub {
		controllers, p, ok := strings.Cut(s, ":")
		if !ok {
			controllers, p = "", s
		}
		clean := path.Clean("/" + p)
		if len(p) > maxPath || strings.Contains(p, "\x00") || slices.Contains(strings.Split(p, "/"), "..") {
			return nil, "", bad(s, "the path must lead to a group below the container's")
		}
		if clean == "/" {
			clean = ""
		}
		if !ok {
			if len(sub) > 1 {
				return nil, "", bad(s, "with more than one, each names its controllers, as in memory:path")
			}
			return nil, clean, nil
		}
		if below == nil {
			below = map[string]string{}
		}
		for controller := range strings.SplitSeq(controllers, ",") {
			if _, twice := below[controller]; controller == "" || twice {
				return nil, "", bad(s, "each controller is named once")
			}
			below[controller] = clean
		}
	}
	return below, "", nil
}

func noSub(dir string, class error) error {
	return fmt.Errorf("--cgroup: there is no cgroup %s: %w", dir, class)
}
