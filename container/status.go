package container

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// Status is where a container is in its life. The values up to Dead are those
// of the Docker API (container.ContainerState).
type Status string

const (
	// Created: the record and the writable layer exist; never started, or
	// every start so far failed.
	Created Status = "created"
	// Starting: a start is under way. Never stored: the run directory is the
	// intent on disk.
	Starting Status = "starting"
	// Running: the command's execve has happened and its exit is not yet known.
	Running Status = "running"
	// Paused: running, and frozen by the cgroup freezer.
	Paused Status = "paused"
	// Restarting: ended, and its restart policy will start it again after a pause.
	Restarting Status = "restarting"
	// Exited: ended; the exit code and the log are kept.
	Exited Status = "exited"
	// Removing: intent to remove; a new daemon finishes it.
	Removing Status = "removing"
	// Dead: a removal failed half-way; it can only be removed again.
	Dead Status = "dead"
	// Removed: gone. Never stored; those who still hold the container see it.
	Removed Status = "removed"
)

// next is the one table of allowed changes.
//
//exhaustive:enforce
var next = map[Status][]Status{
	Created:    {Starting, Removing},
	Starting:   {Running, Created, Exited},
	Running:    {Paused, Exited, Restarting},
	Paused:     {Running, Exited, Restarting},
	Restarting: {Starting, Exited, Removing},
	Exited:     {Starting, Removing},
	Removing:   {Dead, Removed},
	Dead:       {Removing},
	Removed:    {},
}

// Known says whether s is one of the statuses above.
func (s Status) Known() bool {
	_, ok := next[s]
	return ok
}

// Alive says whether the container has processes.
func (s Status) Alive() bool { return s == Running || s == Paused }

// check returns an error of class FailedPrecondition if the table does not
// allow the change.
func (s Status) check(to Status) error {
	for _, n := range next[s] {
		if n == to {
			return nil
		}
	}
	return fmt.Errorf("container is %s and cannot become %s: %w", s, to, errdefs.ErrFailedPrecondition)
}
