package cgroups

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/limit"

	"github.com/containerd/errdefs"
)

// apply writes the settings in order. Files of one controller may depend on
// each other in either direction (a memory limit must not exceed the limit
// with swap, a CPU burst not the quota), so one that the kernel refuses is
// tried again after the others, as long as that helps.
func (c *Cgroup) apply(tree *linux.ControlTree, settings []limit.Setting) error {
	for len(settings) > 0 {
		var again []limit.Setting
		var first error
		for _, s := range settings {
			written, err := c.write(tree, s)
			switch {
			case err == nil:
			case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EBUSY):
				again = append(again, s)
				if first == nil {
					first = written.WriteError(err)
				}
			default:
				return written.WriteError(err)
			}
		}
		if len(again) == len(settings) {
			return first
		}
		settings = again
	}
	return nil
}

// write writes s, or its alternative, and returns the one that it chose.
func (c *Cgroup) write(tree *linux.ControlTree, s limit.Setting) (limit.Setting, error) {
	dir, version := c.dir(s.Controller)
	if version == 0 && s.Optional {
		return s, nil
	}
	if version == 0 { // there was one when the settings were compiled
		return s, notDelegated(s)
	}
	if s.Fresh && slices.Contains(c.made, dir) {
		return s, nil
	}
	for settled := version == 1; ; {
		err := tree.Write(dir+"/"+s.File, s.Value)
		missing := errors.Is(err, fs.ErrNotExist)
		if missing && !settled && s.Controller != limit.Core {
			settle(tree, dir, s.Controller)
			settled = true
			continue
		}
		if missing && s.Or != nil {
			s = *s.Or
			continue
		}
		if missing && s.Optional {
			return s, nil
		}
		return s, err
	}
}

// settle waits until a controller's files are there. Who enables it for dir's
// parent at the same time is seen in cgroup.subtree_control before the kernel has
// made the files: the list is read without the lock under which they are made
// (cgroup_subtree_control_write). To enable it once more waits for that lock.
func settle(tree *linux.ControlTree, dir, controller string) {
	_ = tree.Write(path.Dir(dir)+"/cgroup.subtree_control", "+"+controller) // the next write of a file tells
}

// notDelegated is the error for a limit whose cgroup this user may not make.
func notDelegated(s limit.Setting) error {
	return &limit.Error{
		Flag: s.Flag, Value: s.Value, Class: errdefs.ErrPermissionDenied,
		Reason: "this user may not make a cgroup with the " + s.Controller + " controller", Remedy: delegate,
	}
}
