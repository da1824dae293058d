package cgroups

import (
	"fmt"
	"path"
	"strings"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
)

// maxPath bounds a cgroup's path: with a mount point before it and a file
// behind it the kernel's 4,096 bytes still hold.
const maxPath = 3500

// own is where this process is in each hierarchy.
type own struct {
	unified string
	v1      map[string]string // controllers, as in a Hierarchy: path
}

// readOwn reads cgroups(7) /proc/self/cgroup.
func readOwn() (own, error) {
	data, err := linux.ReadControl("/proc/self/cgroup")
	if err != nil {
		return own{}, fmt.Errorf("find the cgroup of this process: %w", err)
	}
	return parseOwn(data), nil
}

func parseOwn(data string) own {
	o := own{v1: map[string]string{}}
	for line := range strings.Lines(data) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, p, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		p = strings.TrimSuffix(p, "/")
		if strings.Contains(p, "/..") { // outside of the cgroup namespace of /proc: no path leads there
			p = ""
		}
		if controllers == "" {
			o.unified = p
			continue
		}
		o.v1[controllers] = p
	}
	return o
}

// below is the part of p that is below root, the part of a hierarchy that is
// mounted. A process can be outside of that part: then it is its top.
func below(root, p string) string {
	if root == "/" {
		return p
	}
	if rest, ok := strings.CutPrefix(p, root); ok && (rest == "" || rest[0] == '/') {
		return rest
	}
	return ""
}

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
	me, err := readOwn()
	if err != nil {
		return nil, err
	}
	return l.beside(me, p), nil
}

func (l Layout) beside(me own, p string) *Cgroup {
	c := &Cgroup{path: p, layout: l, v1: make([]string, len(l.V1))}
	for i, h := range l.V1 {
		c.v1[i] = h.Mount + below(h.Root, me.v1[strings.Join(h.Controllers, ",")]) + p
	}
	if l.Unified != "" {
		base := below(l.UnifiedRoot, me.unified)
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
