package limits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"berth/api/runc/command"
	"berth/internal/linux"
	"berth/ociruntime/cgroups"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// event is one line of output.
type event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data any    `json:"data,omitempty"`
}

// Events prints what a container uses, and when memory ran out.
func Events() command.Command {
	return command.Command{
		Name: "events", Args: "ID", Min: 1, Max: 1, Container: true,
		Summary: "Print what a container uses, and when it runs out of memory",
		Help: `A line of JSON for each event: type "stats" at every interval, type "oom" when the
kernel killed a process of the container for want of memory. It ends with the container.`,
		Examples: []string{"berth-oci events --stats web", "berth-oci events --interval 1s web"},
		Setup: func(f *command.Flags) command.Func {
			interval, once := 5*time.Second, false
			f.Duration(&interval, "interval", "TIME", "time between two lines of statistics")
			f.Bool(&once, "stats", "print the statistics once and end")
			return func(ctx context.Context, c *command.CLI, args []string) (int, error) {
				if interval <= 0 {
					return 0, fmt.Errorf("--interval %s is not above 0", interval)
				}
				rt, err := c.Runtime()
				if err != nil {
					return 0, err
				}
				w, err := newWatch(c, rt, args[0])
				if err != nil {
					return 0, err
				}
				if once {
					return 0, w.stats()
				}
				return 0, w.follow(ctx, interval)
			}
		},
	}
}

// watch prints events of one container.
type watch struct {
	cli    *command.CLI
	id     string
	pid    int
	cgroup *cgroups.Cgroup
	out    *json.Encoder
}

func newWatch(c *command.CLI, rt command.Runtime, id string) (*watch, error) {
	s, err := rt.State(id)
	if err != nil {
		return nil, err
	}
	if s.Status == specs.StateStopped || s.Pid == 0 {
		return nil, fmt.Errorf("container %s is not running: start it first", id)
	}
	cg, err := rt.Cgroup(id)
	if err != nil {
		return nil, err
	}
	if cg.None() {
		return nil, fmt.Errorf("container %s has no cgroup: nothing is counted", id)
	}
	return &watch{cli: c, id: id, pid: s.Pid, cgroup: cg, out: json.NewEncoder(c.Out)}, nil
}

func (w *watch) stats() error {
	s, err := w.cgroup.FullStats()
	if err != nil {
		return err
	}
	return w.out.Encode(event{"stats", w.id, documentOf(s)})
}

// follow prints events until the container's process ends.
func (w *watch) follow(ctx context.Context, interval time.Duration) error {
	init, err := linux.PidfdOpen(w.pid)
	if err != nil {
		return fmt.Errorf("watch container %s: %w", w.id, err)
	}
	defer init.Close()
	ended := make(chan error, 1)
	go func() { ended <- linux.WaitReadable(init) }() // ends with the process, or with ours
	ooms := make(chan struct{}, 1)
	oom, err := w.cgroup.WatchOOM()
	if err != nil {
		w.cli.Log.Warn(fmt.Sprintf("no oom events: %v", err))
	} else {
		go func() { // ends when oom is closed
			for oom.Next() == nil {
				select {
				case ooms <- struct{}{}:
				default: // one is waiting to be printed
				}
			}
		}()
		defer oom.Close()
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-ended:
			select {
			case <-ooms: // it was the process itself that was killed
				return errors.Join(err, w.oom())
			default:
				return err
			}
		case <-ooms:
			err = w.oom()
		case <-tick.C:
			err = w.stats()
			if errors.Is(err, fs.ErrNotExist) {
				err = nil // the cgroup goes before its last process is reaped
			}
		}
		if err != nil {
			return err
		}
	}
}

func (w *watch) oom() error { return w.out.Encode(event{Type: "oom", ID: w.id}) }
