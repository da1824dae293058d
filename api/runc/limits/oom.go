package limits

import (
	"errors"
	"os"

	"berth/internal/linux/notify"
	"berth/ociruntime/cgroups"
)

// memoryWatch waits for the kernel to run out of memory in a cgroup.
type memoryWatch struct {
	*notify.Watch
	happened func() bool
}

// watchMemory starts to watch.
func watchMemory(cg *cgroups.Cgroup) (memoryWatch, error) {
	dir, version := filesOf(cg).dir("memory")
	switch version {
	case 1:
		// The event comes before the kill is counted, and when the group is removed.
		w, err := notify.OOM(dir)
		return memoryWatch{w, func() bool { _, err := os.Stat(dir); return err == nil }}, err
	case 2:
		// The event comes for each line of the file, after it has changed.
		path := dir + "/memory.events"
		kills := flat(path, "oom_kill")
		w, err := notify.File(path)
		return memoryWatch{w, func() bool {
			before := kills
			kills = max(kills, flat(path, "oom_kill"))
			return kills > before
		}}, err
	}
	return memoryWatch{}, errors.New("this host has no memory controller: mount cgroup v2, or v1's memory")
}
