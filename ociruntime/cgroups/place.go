package cgroups

import (
	"fmt"
	"path"
	"strings"

	"berth/ociruntime/cgroups/hierarchy"

	"github.com/containerd/errdefs"
)

// maxPath bounds a cgroup's path: with a mount point before it and a file
// behind it the kernel's 4,096 bytes still hold.
const maxPath = 3500

// place finds the directories of the container's cgroup that the spec's
// cgroupsPath names. An absolute one counts from the hierarchies' mount points.
// A relative one, and none, which stands for the container's id, count, as
// with runc, from this process's own cgroups (version 1), or from the parent of
// its own (version 2 alone, where a cgroup with processes has no groups with
// controllers below it).
func (l Layout) place(cgroupsPath, id string) (*Cgroup, error) {
	p := cgroupsPath
	if p == "" {
		p = id
	}
	if strings.HasPrefix(p, "/") {
		p = path.Clean(p)
		if err := checkPath(p); err != nil {
			return nil, err
		}
		return l.At(p), nil
	}
	p = path.Clean("/" + p) // no way up
	if err := checkPath(p); err != nil {
		return nil, err
	}
	me, err := hierarchy.ReadOwn()
	if err != nil {
		return nil, err
	}
	return l.beside(me, p), nil
}

func (l Layout) beside(me hierarchy.Own, p string) *Cgroup {
	c := &Cgroup{path: p, layout: l, v1: make([]string, len(l.V1))}
	for i, h := range l.V1 {
		c.v1[i] = h.Mount + hierarchy.Below(h.Root, me.V1[strings.Join(h.Controllers, ",")]) + p
	}
	if l.Unified != "" {
		base := hierarchy.Below(l.UnifiedRoot, me.Unified)
		if len(l.V1) == 0 {
			base = base[:max(0, strings.LastIndexByte(base, '/'))]
		}
		c.unified = l.Unified + base + p
	}
	return c
}

// checkPath refuses a path that is not absolute, clean and below the root.
func checkPath(p string) error {
	bad := len(p) > maxPath || p == "/" || !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsAny(p, "\n\x00")
	for name := range strings.SplitSeq(p, "/") {
		bad = bad || len(name) > 255 || strings.HasPrefix(name, "cgroup.")
	}
	if bad {
		return fmt.Errorf("cgroup path %q: it must be absolute, without . and .., such as /berth/name: %w", p, errdefs.ErrInvalidArgument)
	}
	return nil
}
