package peer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"berth/internal/linux"
)

// View is how some programs get to see the machine.
type View struct {
	Thread *linux.MountThread // nil: as it is
	Note   string             // says what is different, for a table
}

// OnlyCgroup1 hides the cgroup v2 tree of a hybrid host if it has controllers:
// the crun of Debian 12 (and podman with it) refuses to work there. Anywhere
// else nothing is changed. The caller closes it.
func OnlyCgroup1() (*View, error) {
	const v2 = "/sys/fs/cgroup/unified"
	controllers, err := os.ReadFile(v2 + "/cgroup.controllers")
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(controllers)) == "" {
		return &View{}, nil
	}
	if err != nil {
		return nil, err
	}
	thread, err := linux.NewMountThread(func() error {
		if err := syscall.Unmount(v2, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("hide %s: %w", v2, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &View{Thread: thread, Note: " (cgroup v2 hidden from it)"}, nil
}

// Close ends the view.
func (v *View) Close() {
	if v.Thread != nil {
		v.Thread.Close()
		v.Thread = nil
	}
}

// cgroupsOf lists the cgroups by which an engine keeps its containers together,
// in each controller's tree.
func cgroupsOf(name string) []string {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/*/" + name, "/sys/fs/cgroup/" + name} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			continue // the pattern is right
		}
		found = append(found, dirs...)
	}
	return found
}

// leaveNoCgroup has Close remove the cgroups that an engine leaves, unless
// it is there already: then another instance of the engine made it.
func (e *Engine) leaveNoCgroup(name string) {
	present := cgroupsOf(name)
	e.stop = append(e.stop, func() error {
		var errs []error
		for _, dir := range cgroupsOf(name) {
			if !slices.Contains(present, dir) {
				errs = append(errs, RemoveCgroup(dir))
			}
		}
		return errors.Join(errs...)
	})
}

// RemoveCgroup removes a cgroup and those below it.
func RemoveCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() {
			errs = append(errs, RemoveCgroup(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(append(errs, os.Remove(dir))...)
}
