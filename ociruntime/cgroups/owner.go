package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ArgsOf are the arguments that a container's spec makes.
func ArgsOf(id string, s *specs.Spec, systemd bool) Args {
	a := Args{ID: id, Systemd: systemd, Annotations: s.Annotations, Owner: owner(s)}
	if s.Linux != nil {
		a.Path, a.Resources = s.Linux.CgroupsPath, s.Linux.Resources
	}
	return a
}

// owner is the host's id of the user who gets the cgroup, by the runtime spec's
// rules ("Cgroup ownership"): the container's, if it sees its cgroup as the
// root of a hierarchy that it may write to. 0 is nobody.
func owner(s *specs.Spec) int {
	if s.Linux == nil || s.Process == nil {
		return 0
	}
	private := slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.CgroupNamespace && n.Path == ""
	})
	writable := slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool {
		return m.Type == "cgroup" && path.Clean(m.Destination) == usual && !slices.Contains(m.Options, "ro")
	})
	if !private || !writable {
		return 0
	}
	uid := s.Process.User.UID
	if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace }) {
		return int(uid)
	}
	for _, m := range s.Linux.UIDMappings {
		if uid >= m.ContainerID && uid-m.ContainerID < m.Size {
			return int(m.HostID) + int(uid-m.ContainerID)
		}
	}
	return 0
}

// chown gives a version 2 cgroup to a user of the container, as the kernel
// wants it for delegation (cgroups(7)). Version 1 is not safe to delegate.
func (c *Cgroup) chown(uid int) error {
	if uid == 0 || c.unified == "" || len(c.layout.V1) > 0 {
		return nil
	}
	files := []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	if data, err := linux.ReadControl("/sys/kernel/cgroup/delegate"); err == nil { // Linux 4.15
		files = strings.Fields(data)
	}
	for _, f := range append([]string{""}, files...) {
		if strings.Contains(f, "/") {
			continue
		}
		if err := os.Lchown(path.Join(c.unified, f), uid, -1); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("give cgroup %s to user %d: %w", c.path, uid, err)
		}
	}
	return nil
}
