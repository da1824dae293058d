package standalone

import (
	"context"
	"errors"
)

// CheckpointArgs say how to write a container's processes to disk.
type CheckpointArgs struct {
	ImagePath, WorkPath, ParentPath                   string
	LeaveRunning, TCPEstablished, ExtUnixSk, ShellJob bool
	TCPSkipInFlight, FileLocks, PreDump, LazyPages    bool
	AutoDedup, LinkRemap                              bool
	StatusFD                                          int // -1: none
	PageServer                                        string
	ManageCgroups                                     string // soft, full, strict, ignore
	EmptyNS                                           []string
	LSMProfile, LSMMountContext                       string // Restore only
}

var errNotYet = errors.New("not there yet")

// Checkpoint writes the container's processes to disk, with CRIU.
func (r *Runtime) Checkpoint(ctx context.Context, id string, a CheckpointArgs) error {
	return errNotYet
}

// Restore makes a container whose processes come from a checkpoint.
func (r *Runtime) Restore(ctx context.Context, c CreateArgs, a CheckpointArgs) (code int, err error) {
	return 0, errNotYet
}
