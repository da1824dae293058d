package limits

import (
	"errors"

	"berth/internal/linux/notify"
	"berth/ociruntime/cgroups"
)

// watchMemory waits for changes that may be a kill for want of memory.
func watchMemory(cg *cgroups.Cgroup) (*notify.Watch, error) {
	f := filesOf(cg)
	dir, version := f.dir("memory")
	switch version {
	case 1:
		return notify.OOM(dir)
	case 2:
		return notify.File(dir + "/memory.events")
	}
	return nil, errors.New("this host has no memory controller: mount cgroup v2, or v1's memory")
}
