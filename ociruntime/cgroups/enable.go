package cgroups

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/limit"

	"github.com/containerd/errdefs"
)

// counted are the controllers that version 2 enables even without a limit, for Stats.
var counted = []string{"cpu", "io", "memory", "pids"}

// threaded are the controllers that work without a domain of processes (cgroups(7)).
var threaded = []string{"cpu", "cpuset", "perf_event", "pids"}

// enable makes the controllers that are counted or needed available in the
// version 2 hierarchy, from its root down to the cgroup's parent
// (cgroup.subtree_control).
func (c *Cgroup) enable(tree *linux.ControlTree, settings []limit.Setting) error {
	if c.unified == "" {
		return nil
	}
	need := map[string]string{} // controller: the flag that needs it, "" if it is only counted
	for _, controller := range counted {
		if c.version(controller) == 2 {
			need[controller] = ""
		}
	}
	for _, s := range settings {
		if s.Controller != limit.Core && c.version(s.Controller) == 2 {
			need[s.Controller] = s.Flag
		}
	}
	if len(need) == 0 {
		return nil
	}
	// What the parent has all groups above it have too.
	parent := path.Dir(c.unified)
	missing, err := missingIn(tree, parent, need)
	if err != nil || len(missing) == 0 {
		return err
	}
	for end := len(c.layout.Unified); ; {
		if err := enableIn(tree, c.unified[:end], need); err != nil {
			return err
		}
		next := strings.IndexByte(c.unified[end+1:], '/')
		if next < 0 {
			return c.thread(tree, need)
		}
		end += 1 + next
	}
}

// missingIn returns which needed controllers the children of dir do not have.
func missingIn(tree *linux.ControlTree, dir string, need map[string]string) ([]string, error) {
	data, err := tree.Read(dir + "/cgroup.subtree_control")
	if err != nil {
		return nil, fmt.Errorf("enable cgroup controllers: %w", err)
	}
	have := strings.Fields(data)
	var missing []string
	for _, controller := range slices.Sorted(maps.Keys(need)) {
		if !slices.Contains(have, controller) {
			missing = append(missing, controller)
		}
	}
	return missing, nil
}

// enableIn enables the needed controllers for the children of dir. One that is
// only counted may stay off.
func enableIn(tree *linux.ControlTree, dir string, need map[string]string) error {
	missing, err := missingIn(tree, dir, need)
	if err != nil {
		return err
	}
	file := dir + "/cgroup.subtree_control"
	if len(missing) == 0 || tree.Write(file, "+"+strings.Join(missing, " +")) == nil {
		return nil
	}
	for _, controller := range missing { // all or nothing failed: find out which
		err := tree.Write(file, "+"+controller)
		if flag := need[controller]; err != nil && flag != "" {
			return enableError(flag, controller, dir, err)
		}
	}
	return nil
}

func enableError(flag, controller, dir string, err error) error {
	e := &limit.Error{
		Flag: flag, Class: errdefs.ErrFailedPrecondition, Err: limit.Errno(err),
		Reason: "enable the " + controller + " controller in " + dir,
		Remedy: "move the processes of that cgroup into a child cgroup first",
	}
	switch {
	case notAllowed(err):
		e.Class, e.Remedy = errdefs.ErrPermissionDenied, delegate
	case errors.Is(err, syscall.ENOENT):
		e.Remedy = "the groups above it do not offer the controller; leave the limit out, or choose another cgroup"
	case errors.Is(err, syscall.EOPNOTSUPP):
		e.Remedy = "a threaded cgroup has no such limit; leave it out, or choose another cgroup"
	}
	return e
}

// delegate is what a user can do who may not make cgroups.
const delegate = "as an ordinary user, start it in a cgroup of your own: systemd-run --user --scope --property=Delegate=yes COMMAND"

// thread makes the cgroup threaded if it could not be entered otherwise, because
// it is below one that is (state "domain invalid"), as runc does.
func (c *Cgroup) thread(tree *linux.ControlTree, need map[string]string) error {
	kind, err := tree.Read(c.unified + "/cgroup.type")
	if err != nil || strings.TrimSpace(kind) != "domain invalid" {
		return nil //nolint:nilerr // the root of a hierarchy has no such file
	}
	for controller, flag := range need {
		if flag != "" && !slices.Contains(threaded, controller) {
			return enableError(flag, controller, path.Dir(c.unified), syscall.EOPNOTSUPP)
		}
	}
	if err := tree.Write(c.unified+"/cgroup.type", "threaded"); err != nil {
		return fmt.Errorf("make cgroup %s threaded, as those above it are: %w", c.path, err)
	}
	return nil
}
