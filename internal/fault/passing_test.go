package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
)

// A container that cannot be adopted for want of something must not be ended.
func TestPassing(t *testing.T) {
	tests := map[string]struct {
		err  error
		want bool
	}{
		"no more files":   {fmt.Errorf("get notify: %w", os.NewSyscallError("pidfd_getfd", syscall.EMFILE)), true},
		"no memory":       {errors.Join(errors.New("x"), &fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOMEM}), true},
		"no keeper":       {fmt.Errorf("adopt: %w", os.ErrNotExist), false},
		"keeper is gone":  {os.ErrProcessDone, false},
		"broken record":   {errors.New("invalid character"), false},
		"not a directory": {syscall.ENOTDIR, false},
	}
	for name, tc := range tests {
		if got := Passing(tc.err); got != tc.want {
			t.Errorf("%s: Passing(%v) = %v, want %v", name, tc.err, got, tc.want)
		}
	}
}
