package dropin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/test/berthtest"
)

// leftovers fails the test if the engine left processes, mounts, cgroups or
// states of containers, and removes them.
func (e *engine) leftovers(t *testing.T) {
	t.Helper()
	processes := func() error { return describe("processes", e.processes()) }
	// The last of them are on their way out.
	if err := berthtest.Poll(processes); err != nil {
		t.Error(err)
	}
	for pid := range e.processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // gone is fine too
	}
	if err := berthtest.Poll(func() error { return describe("processes after SIGKILL", e.processes()) }); err != nil {
		t.Error(err)
	}
	if bad := e.unmount(t); len(bad) > 0 {
		t.Errorf("left mounts: %s", strings.Join(bad, ", "))
	}
	if bad := e.cgroups(t); len(bad) > 0 {
		t.Errorf("left cgroups: %s", strings.Join(bad, ", "))
	}
	if bad := e.states(t); len(bad) > 0 {
		t.Errorf("left states of containers: %s", strings.Join(bad, ", "))
		for _, id := range bad {
			t.Logf("the daemon's log on %s:\n%s", id, e.about(id))
		}
	}
}

// deepParent is a cgroup below the engine's that a test names.
const deepParent = "/deep/er"

// podParent is the cgroup of Podman's pods. Podman does not remove a pod's own in
// hierarchies that it does not know: name=systemd and unified.
const podParent = "/pods"

func describe(what string, left map[int]string) error {
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("left %s: %v", what, left)
}

// processes are those that name the engine's directory or are in its cgroups,
// with their command lines.
func (e *engine) processes() map[int]string {
	found := map[int]string{}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A zombie, or a process that is gone, has no command line.
		line, err := os.ReadFile(d + "/cmdline")
		if err != nil || len(line) == 0 {
			continue
		}
		cgroup, err := os.ReadFile(d + "/cgroup")
		if err != nil {
			continue
		}
		if bytes.Contains(line, []byte(e.dir)) || bytes.Contains(cgroup, []byte(e.parent+"/")) || bytes.Contains(cgroup, []byte(e.parent+"\n")) {
			found[pid] = string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	return found
}

// mounts are the mount points under the engine's directory.
func (e *engine) mounts(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) > 4 && strings.HasPrefix(f[4], e.dir+"/") {
			found = append(found, f[4])
		}
	}
	return found
}

// unmount removes the engine's mounts and returns those that should not be.
func (e *engine) unmount(t *testing.T) (bad []string) {
	t.Helper()
	left := e.mounts(t)
	for i := len(left) - 1; i >= 0; i-- {
		// Podman keeps its storage driver's own directory mounted; Docker the host's
		// network namespace and, if containers outlive it, its data.
		if !slices.Contains([]string{e.path("root/overlay"), e.path("exec/netns/default"), e.path("data")}, left[i]) {
			bad = append(bad, left[i])
		}
		if err := syscall.Unmount(left[i], syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", left[i], err)
		}
	}
	return bad
}

// cgroups removes the engine's cgroups and returns those of containers.
func (e *engine) cgroups(t *testing.T) (bad []string) {
	t.Helper()
	roots, err := filepath.Glob("/sys/fs/cgroup/*" + e.parent)
	if err != nil {
		t.Fatal(err)
	}
	roots = append(roots, "/sys/fs/cgroup"+e.parent)
	for _, root := range roots {
		var dirs []string
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		for i := len(dirs) - 1; i >= 0; i-- {
			base, above := filepath.Base(dirs[i]), filepath.Base(filepath.Dir(dirs[i]))
			switch {
			case dirs[i] == root, base == "conmon": // Podman leaves conmon's
			case above+"/"+base == "deep/er", base == "deep", base == "pods", above == "pods":
			default:
				bad = append(bad, dirs[i])
			}
			// Podman makes plain directories where a hierarchy was mounted once.
			err := berthtest.Poll(func() error { // what ended a moment ago may still be in it
				if err := os.Remove(dirs[i]); err != nil && os.RemoveAll(dirs[i]) != nil {
					return err
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	return bad
}

// states are the containers that the runtime still knows.
func (e *engine) states(t *testing.T) (bad []string) {
	t.Helper()
	entries, err := os.ReadDir(e.state)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, d := range entries {
		if !strings.HasPrefix(d.Name(), "~") { // berth-oci's own, no container can be called so
			bad = append(bad, d.Name())
		}
	}
	return bad
}

// about is what the daemon has said of a container.
func (e *engine) about(id string) string {
	data, err := os.ReadFile(e.path("daemon.log"))
	if err != nil {
		return err.Error()
	}
	var found []string
	for _, l := range strings.Split(string(data), "\n") {
		if strings.Contains(l, id) {
			found = append(found, l)
		}
	}
	return strings.Join(found, "\n")
}

// clean fails the test if anything of a container is left while the engine runs.
func (e *engine) clean(t *testing.T, id string) {
	t.Helper()
	err := berthtest.Poll(func() error {
		var bad []string
		for _, s := range e.states(t) {
			if strings.Contains(s, id) {
				bad = append(bad, s)
			}
		}
		for _, m := range e.mounts(t) {
			if strings.Contains(m, id) {
				bad = append(bad, m)
			}
		}
		groups, err := filepath.Glob("/sys/fs/cgroup/*" + e.parent + "/*" + id + "*")
		if err != nil {
			return err
		}
		bad = append(bad, groups...)
		unified, err := filepath.Glob("/sys/fs/cgroup" + e.parent + "/*" + id + "*")
		if err != nil {
			return err
		}
		bad = append(bad, unified...)
		for pid, line := range e.processes() {
			if strings.Contains(line, id) {
				bad = append(bad, fmt.Sprint(pid, " ", line))
			}
		}
		if len(bad) > 0 {
			return fmt.Errorf("container %s left %s", id, strings.Join(bad, ", "))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
