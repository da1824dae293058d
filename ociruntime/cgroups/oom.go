package cgroups

import (
	"errors"
	"fmt"
	"io/fs"

	"berth/internal/linux/notify"
	"berth/ociruntime/cgroups/limit"
	"berth/ociruntime/cgroups/stats"
)

// OOMKilled tells whether the kernel killed a process of the cgroup, or of one
// below it, for want of memory. It holds until Delete. A host without the memory
// controller never says so.
func (c *Cgroup) OOMKilled() (bool, error) {
	n, err := c.oomKills()
	if err != nil {
		return false, fmt.Errorf("read out-of-memory kills of cgroup %s: %w", c.path, err)
	}
	return n > 0, nil
}

func (c *Cgroup) oomKills() (uint64, error) {
	dir, version := c.dir("memory")
	switch version {
	case 1:
		return stats.Field(dir+"/memory.oom_control", "oom_kill")
	case 2:
		n, err := stats.Field(dir+"/memory.events", "oom_kill")
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil // the controller is not enabled for this group
		}
		return n, err
	}
	return 0, nil
}

// OOMWatch waits for the kernel to kill processes of a cgroup for want of memory.
type OOMWatch struct {
	watch    *notify.Watch
	happened func() bool
}

// WatchOOM starts to watch.
func (c *Cgroup) WatchOOM() (*OOMWatch, error) {
	dir, version := c.dir("memory")
	switch version {
	case 1:
		// The event comes before the kill is counted, and when the group is removed.
		w, err := notify.OOM(dir)
		if err != nil {
			return nil, fmt.Errorf("watch the memory of cgroup %s: %w", c.path, err)
		}
		return &OOMWatch{w, func() bool { return exists(dir) }}, nil
	case 2:
		// The event comes for each line of the file, after it has changed.
		kills, err := c.oomKills()
		if err != nil {
			return nil, fmt.Errorf("watch the memory of cgroup %s: %w", c.path, err)
		}
		w, err := notify.File(dir + "/memory.events")
		if err != nil {
			return nil, fmt.Errorf("watch the memory of cgroup %s: %w", c.path, err)
		}
		return &OOMWatch{w, func() bool {
			before := kills
			if now, err := c.oomKills(); err == nil {
				kills = now
			}
			return kills > before
		}}, nil
	}
	return nil, limit.NoController("the watch for memory", "memory")
}

// Next returns after the next kill, of which several may have become one. It
// fails once the watch is closed.
func (w *OOMWatch) Next() error {
	for {
		if err := w.watch.Wait(); err != nil {
			return err
		}
		if w.happened() {
			return nil
		}
	}
}

// Close ends the watch and a Next.
func (w *OOMWatch) Close() error { return w.watch.Close() }
