// Package hierarchy reads what /proc says of cgroup hierarchies: where they are
// mounted, and where in them a process is.
//
// Level: R.
// Owns: the formats of mountinfo and /proc/PID/cgroup, as far as they are about cgroups.
// May import: internal/linux.
// Must not know: what cgroups are used for, other rooms.
package hierarchy

import (
	"fmt"
	"strings"

	"berth/internal/linux"
)

// maxMountinfo bounds the mount table: a host of 10,000 containers has some MB of it.
const maxMountinfo = 64 << 20

// Mount is one mount of a hierarchy.
type Mount struct {
	// Path is its mount point, Root the part of the hierarchy that is there.
	Path, Root string
	// Version is 1 or 2.
	Version int
	// Controllers are version 1's, or the one name of a hierarchy without
	// any ("name=systemd").
	Controllers []string
}

// ReadMounts reads proc_pid_mountinfo(5).
func ReadMounts() ([]Mount, error) {
	table, err := linux.ReadTable("/proc/self/mountinfo", maxMountinfo)
	if err != nil {
		return nil, fmt.Errorf("find cgroup hierarchies: %w", err)
	}
	return ParseMounts(table), nil
}

// ParseMounts is ReadMounts of text.
func ParseMounts(mountinfo string) (mounts []Mount) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		kind, _, _ := strings.Cut(after, " ")
		if kind != "cgroup" && kind != "cgroup2" {
			continue
		}
		f, options := strings.Fields(before), strings.Fields(after)
		if len(f) < 6 || len(options) < 3 {
			continue
		}
		m := Mount{Path: unescape(f[4]), Root: unescape(f[3]), Version: 2}
		if kind == "cgroup" {
			m.Version, m.Controllers = 1, v1Controllers(options[2])
			if len(m.Controllers) == 0 {
				continue
			}
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescape undoes what mountinfo does to space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
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

// Own is where this process is in each hierarchy.
type Own struct {
	Unified string
	// V1 is by controllers, as Mount.Key has them.
	V1 map[string]string
}

// ReadOwn reads cgroups(7) /proc/self/cgroup.
func ReadOwn() (Own, error) {
	data, err := linux.ReadControl("/proc/self/cgroup")
	if err != nil {
		return Own{}, fmt.Errorf("find the cgroup of this process: %w", err)
	}
	return ParseOwn(data), nil
}

// ParseOwn is ReadOwn of text.
func ParseOwn(data string) Own {
	o := Own{V1: map[string]string{}}
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
			o.Unified = p
			continue
		}
		o.V1[controllers] = p
	}
	return o
}

// Below is the part of p that is below root, the part of a hierarchy that is
// mounted. A process can be outside of that part: then it is its top.
func Below(root, p string) string {
	if root == "/" {
		return p
	}
	if rest, ok := strings.CutPrefix(p, root); ok && (rest == "" || rest[0] == '/') {
		return rest
	}
	return ""
}
