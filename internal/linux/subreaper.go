package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// SetChildSubreaper makes this process the parent of all its descendants that
// lose theirs, as PID 1 is by default (PR_SET_CHILD_SUBREAPER(2const), Linux 3.4).
func SetChildSubreaper() error {
	return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}
