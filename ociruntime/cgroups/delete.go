package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
)

// Bounds of waiting: for processes that are being reaped, for freezing, and
// the first and longest pause between two looks.
const (
	deleteWait = 5 * time.Second
	freezeWait = 5 * time.Second
	firstPause = 200 * time.Microsecond
	longPause  = 20 * time.Millisecond
)

// Delete removes the cgroup and those that its processes made below it, in
// every hierarchy. Processes must have been killed; Delete waits up to 5
// seconds for the kernel to let go of them, and then returns
// errdefs.ErrFailedPrecondition naming those that are left. A cgroup that does
// not exist is deleted already.
func (c *Cgroup) Delete(ctx context.Context) error {
	if c.unit == nil {
		return c.remove(ctx, c.dirs())
	}
	stopErr := c.stopUnit(ctx)
	if err := c.remove(ctx, c.dirs()); err != nil {
		return errors.Join(err, stopErr)
	}
	return nil // with the directories gone there is no unit, whatever systemd said
}

// Destroy kills whatever is still inside and removes the cgroup: Kill and Delete,
// but for the mostly empty one of a stopped container it only does the second.
func (c *Cgroup) Destroy(ctx context.Context) error {
	if c.None() {
		return nil
	}
	if c.unit == nil {
		if err := linux.Rmdir(c.home()); err == nil || errors.Is(err, fs.ErrNotExist) {
			return c.Delete(ctx) // no process can be where processes are killed
		}
	}
	return errors.Join(c.Kill(ctx), c.Delete(ctx))
}

func (c *Cgroup) remove(ctx context.Context, dirs []string) error {
	tree := c.tree()
	defer tree.Close()
	var last error
	removed := func() (bool, error) {
		last = nil
		for _, d := range dirs {
			if err := removeTree(tree, d); err != nil {
				last = err
			}
		}
		if last != nil && !errors.Is(last, syscall.EBUSY) {
			return false, last
		}
		return last == nil, nil
	}
	err := poll(ctx, deleteWait, removed)
	if err == nil {
		return nil
	}
	if last == nil {
		last = err
	}
	if pids, _ := c.Pids(); len(pids) > 0 && errors.Is(last, syscall.EBUSY) {
		return fmt.Errorf("delete cgroup %s: processes %v are still inside; kill them first: %w", c.path, pids[:min(len(pids), 10)], errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("delete cgroup %s: %w", c.path, last)
}

// removeTree removes dir and the groups below it, children first. A missing one is
// removed already.
func removeTree(tree *linux.ControlTree, dir string) error {
	err := tree.Rmdir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	children, readErr := os.ReadDir(dir)
	if readErr != nil {
		return err
	}
	nested := false
	for _, e := range children {
		if e.IsDir() {
			nested = true
			if err := removeTree(tree, dir+"/"+e.Name()); err != nil {
				return err
			}
		}
	}
	if nested {
		err = tree.Rmdir(dir)
	}
	return err
}

// List returns the paths of the cgroups directly below prefix ("/berth"), in
// any hierarchy, sorted: what a killed daemon may have left behind.
func List(prefix string) ([]string, error) {
	l, err := Detect()
	if err != nil {
		return nil, err
	}
	return l.list(prefix)
}

func (l Layout) list(prefix string) ([]string, error) {
	if err := checkPath(prefix); err != nil {
		return nil, err
	}
	var all []string
	for _, mount := range l.mounts() {
		children, err := os.ReadDir(mount + prefix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list cgroups below %s: %w", prefix, err)
		}
		for _, e := range children {
			if e.IsDir() {
				all = append(all, prefix+"/"+e.Name())
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Pids returns the processes in the cgroup and below it, sorted, as this
// process's pid namespace numbers them.
func (c *Cgroup) Pids() ([]int, error) {
	if err := c.needed("list processes"); err != nil {
		return nil, err
	}
	pids, err := pidsBelow(c.home())
	if err != nil {
		return nil, fmt.Errorf("list processes of cgroup %s: %w", c.path, err)
	}
	slices.Sort(pids)
	return pids, nil
}

func pidsBelow(dir string) ([]int, error) {
	data, err := linux.ReadControl(dir + "/cgroup.procs")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil, nil // the group is gone, and its processes were before
	}
	// A threaded group of version 2 lists no processes: its domain's does.
	if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
		return nil, err
	}
	var pids []int
	for line := range strings.Lines(data) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("%s/cgroup.procs: %w", dir, err)
		}
		if pid > 0 { // 0 is a process outside this pid namespace
			pids = append(pids, pid)
		}
	}
	children, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range children {
		if !e.IsDir() {
			continue
		}
		more, err := pidsBelow(dir + "/" + e.Name())
		if err != nil {
			return nil, err
		}
		pids = append(pids, more...)
	}
	return pids, nil
}

// errTimeout is poll's when the limit, not the context, ended it.
var errTimeout = fmt.Errorf("timed out: %w", errdefs.ErrUnavailable)

// poll calls done, at growing intervals, until it returns true or an error,
// limit has passed or ctx ends. done is called at least once, whatever ctx says.
func poll(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	if ok, err := done(); ok || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		if ok, err := done(); ok || err != nil {
			return err
		}
	}
}
