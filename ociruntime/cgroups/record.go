package cgroups

import (
	"fmt"
	"path"
	"strings"

	"berth/ociruntime/cgroups/systemd"

	"github.com/containerd/errdefs"
)

// Record is what to store about a cgroup, to find it again without looking for
// the host's hierarchies.
type Record struct {
	// Path is Cgroup.Path.
	Path string `json:"path,omitempty"`
	// Unified is the version 2 directory, Mount its hierarchy's mount point
	// and Controllers what that offers.
	Unified     string   `json:"unified,omitempty"`
	Mount       string   `json:"mount,omitempty"`
	Root        string   `json:"root,omitempty"`
	Controllers []string `json:"controllers,omitempty"`
	// V1 are the version 1 directories.
	V1 []V1Record `json:"v1,omitempty"`
	// Unit is set if systemd made the cgroup.
	Unit *UnitRecord `json:"unit,omitempty"`
}

// V1Record is one version 1 directory.
type V1Record struct {
	Dir         string   `json:"dir"`
	Mount       string   `json:"mount"`
	Root        string   `json:"root"`
	Controllers []string `json:"controllers"`
}

// Record returns what to store.
func (c *Cgroup) Record() Record {
	if c.None() {
		return Record{}
	}
	r := Record{Path: c.path}
	if c.unified != "" {
		r.Unified, r.Mount, r.Root, r.Controllers = c.unified, c.layout.Unified, c.layout.UnifiedRoot, c.layout.UnifiedControllers
	}
	if u := c.unit; u != nil {
		r.Unit = &UnitRecord{Slice: u.Slice, Name: u.Name, User: u.User}
	}
	for i, h := range c.layout.V1 {
		if c.v1[i] != "" {
			r.V1 = append(r.V1, V1Record{Dir: c.v1[i], Mount: h.Mount, Root: h.Root, Controllers: h.Controllers})
		}
	}
	return r
}

// Open returns the cgroup that was stored, without looking whether it exists.
// A record that this package did not make is errdefs.ErrInvalidArgument.
func (r Record) Open() (*Cgroup, error) {
	c := &Cgroup{path: r.Path, unified: r.Unified}
	bad := r.Unified != "" && !inside(r.Unified, r.Mount)
	if r.Unified != "" {
		c.layout.Unified, c.layout.UnifiedRoot, c.layout.UnifiedControllers = r.Mount, r.Root, r.Controllers
	}
	if u := r.Unit; u != nil {
		c.unit = &unit{Unit: systemd.Unit{Slice: u.Slice, Name: u.Name, User: u.User}}
	}
	for _, v := range r.V1 {
		bad = bad || !inside(v.Dir, v.Mount) || len(v.Controllers) == 0
		c.v1 = append(c.v1, v.Dir)
		c.layout.V1 = append(c.layout.V1, Hierarchy{Mount: v.Mount, Controllers: v.Controllers, Root: v.Root})
	}
	if bad {
		return nil, fmt.Errorf("stored cgroup %s: its directories are not in their hierarchies: %w", r.Path, errdefs.ErrInvalidArgument)
	}
	return c, nil
}

// inside tells whether dir is a clean path below mount.
func inside(dir, mount string) bool {
	return path.IsAbs(mount) && path.Clean(dir) == dir && strings.HasPrefix(dir, mount+"/")
}
