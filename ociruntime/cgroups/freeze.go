package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/cgroups/limit"
	"berth/ociruntime/cgroups/stats"
)

// Pause freezes every process of the cgroup and returns when all stand still.
// If that takes more than 5 seconds, or ctx ends, they run on.
func (c *Cgroup) Pause(ctx context.Context) error {
	if err := c.needed("pause"); err != nil {
		return err
	}
	if err := c.freeze(ctx, true); err != nil {
		_ = c.setFrozen(false) // the error to report is why it could not be frozen
		return fmt.Errorf("pause cgroup %s: %w", c.path, err)
	}
	return nil
}

// Resume lets the processes of the cgroup run again. It may be repeated.
func (c *Cgroup) Resume(ctx context.Context) error {
	if err := c.needed("resume"); err != nil {
		return err
	}
	if err := c.freeze(ctx, false); err != nil {
		return fmt.Errorf("resume cgroup %s: %w", c.path, err)
	}
	return nil
}

// Paused tells whether the cgroup is frozen, by itself: one above it that is
// makes it stand still too, and is not this one's to thaw.
func (c *Cgroup) Paused() (bool, error) {
	file := c.unified + "/cgroup.freeze"
	if c.unified == "" {
		dir, version := c.dir("freezer")
		if version == 0 {
			return false, nil
		}
		file = dir + "/freezer.self_freezing"
	}
	n, err := stats.Number(file)
	return n == 1, err
}

// still tells whether every process stands still.
func (c *Cgroup) still() (bool, error) {
	if c.unified != "" {
		n, err := stats.Field(c.unified+"/cgroup.events", "frozen")
		return n == 1, err
	}
	dir, _ := c.dir("freezer")
	state, err := linux.ReadControl(dir + "/freezer.state")
	return strings.TrimSpace(state) == "FROZEN", err
}

func (c *Cgroup) freeze(ctx context.Context, frozen bool) error {
	looks := 0
	return poll(ctx, freezeWait, func() (bool, error) {
		// A version 1 group in which processes keep being made can stay half
		// frozen: letting it go for a moment helps (opencontainers/cgroups, fs/freezer.go).
		if looks++; frozen && c.unified == "" && looks%8 == 0 {
			if err := c.setFrozen(false); err != nil {
				return false, err
			}
		}
		// Version 1 needs the write again if a process forked while it was
		// freezing; for version 2 a further one changes nothing.
		if err := c.setFrozen(frozen); err != nil || !frozen {
			return err == nil, err
		}
		return c.still()
	})
}

func (c *Cgroup) setFrozen(frozen bool) error {
	if c.unified != "" {
		value := "0"
		if frozen {
			value = "1"
		}
		return linux.WriteControl(c.unified+"/cgroup.freeze", value)
	}
	dir, version := c.dir("freezer")
	if version == 0 {
		return limit.Unsupported("pause", "this host has no freezer cgroup controller", "mount it or a cgroup v2 hierarchy")
	}
	value := "THAWED"
	if frozen {
		value = "FROZEN"
	}
	return linux.WriteControl(dir+"/freezer.state", value)
}

// Kill sends SIGKILL to every process of the cgroup and below it, also those
// being forked and those frozen. It does not wait for them to be reaped. A
// cgroup that is gone or empty has been killed already.
func (c *Cgroup) Kill(ctx context.Context) error {
	if c.None() {
		return nil
	}
	err := c.kill(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("kill cgroup %s: %w", c.path, err)
	}
	return nil
}

func (c *Cgroup) kill(ctx context.Context) error {
	if c.unified != "" { // Linux 5.14
		return linux.WriteControl(c.unified+"/cgroup.kill", "1")
	}
	// Nobody is left after an ordinary end. The kernel patches itself for the first
	// frozen cgroup of a machine and back after the last (static keys), which can
	// take 5 ms each.
	if pids, err := pidsBelow(c.home()); err != nil || len(pids) == 0 {
		return err
	}
	// A frozen process cannot fork or end, so its pid stays its own.
	freezeErr := c.freeze(ctx, true)
	pids, err := pidsBelow(c.home())
	for _, pid := range pids {
		if e := syscall.Kill(pid, syscall.SIGKILL); e != nil && !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, e)
		}
	}
	thawErr := error(nil)
	if _, version := c.dir("freezer"); version != 0 {
		thawErr = c.setFrozen(false)
	}
	if freezeErr != nil { // some may have been missed: look until none is left
		return errors.Join(err, thawErr, c.killUnfrozen(ctx))
	}
	return errors.Join(err, thawErr)
}

// killUnfrozen kills whatever it sees until the cgroup is empty.
func (c *Cgroup) killUnfrozen(ctx context.Context) error {
	return poll(ctx, freezeWait, func() (bool, error) {
		pids, err := pidsBelow(c.home())
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone meanwhile, or seen again in the next look
		}
		return len(pids) == 0, err
	})
}
