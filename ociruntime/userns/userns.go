// Package userns gives a process's user namespace its id maps, for who is not root.
//
// Level: R.
// Owns: the calls of newuidmap(1) and newgidmap(1).
// May import: internal/linux, internal/fault, errdefs, runtime-spec.
// Must not know: how the process is made.
package userns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"berth/internal/fault"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Map writes the id maps of a process's user namespace (user_namespaces(7)). One
// id, this user's own, needs no help; more are what /etc/subuid and /etc/subgid
// grant, and take the programs newuidmap and newgidmap (package uidmap).
func Map(pid int, uids, gids []specs.LinuxIDMapping) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	own := func(maps []specs.LinuxIDMapping, id int) bool {
		return len(maps) == 1 && maps[0].Size == 1 && maps[0].HostID == uint32(id)
	}
	if own(uids, os.Geteuid()) && own(gids, os.Getegid()) {
		return errors.Join(
			write(dir+"uid_map", uids),
			os.WriteFile(dir+"setgroups", []byte("deny"), 0), // or gid_map is refused
			write(dir+"gid_map", gids),
		)
	}
	if err := help("newuidmap", "/etc/subuid", pid, uids); err != nil {
		return err
	}
	return help("newgidmap", "/etc/subgid", pid, gids)
}

func write(file string, maps []specs.LinuxIDMapping) error {
	m := maps[0]
	return os.WriteFile(file, fmt.Appendf(nil, "%d %d %d\n", m.ContainerID, m.HostID, m.Size), 0)
}

func help(program, file string, pid int, maps []specs.LinuxIDMapping) error {
	args := []string{strconv.Itoa(pid)}
	for _, m := range maps {
		for _, n := range []uint32{m.ContainerID, m.HostID, m.Size} {
			args = append(args, strconv.FormatUint(uint64(n), 10))
		}
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fault.Errorf(errdefs.ErrFailedPrecondition, "map ids without root: %s is not installed: install the package uidmap", program)
	case err != nil:
		return fault.Errorf(errdefs.ErrFailedPrecondition, "map ids without root: %s: %w: %s: see which ranges %s grants", program, err, bytes.TrimSpace(out), file)
	}
	return nil
}
