package stats

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"berth/internal/linux/notify"

	"github.com/containerd/errdefs"
)

// OOMKills is how many processes of the cgroup, or of one below it, the kernel
// killed for want of memory. A host without the memory controller counts none.
func OOMKills(g Group) (uint64, error) {
	dir, version := g.Dir("memory")
	switch version {
	case 1:
		return Field(dir+"/memory.oom_control", "oom_kill")
	case 2:
		n, err := Field(dir+"/memory.events", "oom_kill")
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
func WatchOOM(g Group) (*OOMWatch, error) {
	dir, version := g.Dir("memory")
	switch version {
	case 1:
		// The event comes before the kill is counted, and when the group is removed.
		w, err := notify.OOM(dir)
		if err != nil {
			return nil, fmt.Errorf("watch the memory of a cgroup: %w", err)
		}
		return &OOMWatch{w, func() bool { _, err := os.Lstat(dir); return err == nil }}, nil
	case 2:
		// The event comes for each line of the file, after it has changed.
		kills, err := OOMKills(g)
		if err != nil {
			return nil, fmt.Errorf("watch the memory of a cgroup: %w", err)
		}
		w, err := notify.File(dir + "/memory.events")
		if err != nil {
			return nil, fmt.Errorf("watch the memory of a cgroup: %w", err)
		}
		return &OOMWatch{w, func() bool {
			before := kills
			if now, err := OOMKills(g); err == nil {
				kills = now
			}
			return kills > before
		}}, nil
	}
	return nil, fmt.Errorf("watch the memory of a cgroup: this host has no memory controller: mount cgroup v2, or v1's memory: %w", errdefs.ErrFailedPrecondition)
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
