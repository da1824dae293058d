// Package crash kills berth-oci at many moments of a container's making and
// sees that what is left can be found and removed.
//
// Level: L5.
// Owns: nothing.
// May import: internal/testutil.
// Must not know: how the runtime works.
package crash

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/testutil"
)

// The system calls of berth-oci's first thread at which it is killed: every
// step-th until the last.
const (
	step  = 6
	until = 420
)

// A kill -9 of berth-oci create or run, by the kernel's system call tracing, at
// any moment: state, kill and delete --force go on working and leave nothing.
func TestKilled(t *testing.T) {
	testutil.RequireRoot(t)
	for _, program := range []string{"berth-oci", "strace", "busybox"} {
		if _, err := exec.LookPath(tool(program)); err != nil {
			t.Fatalf("%s: %v: install it, or run make test", program, err)
		}
	}
	dir := t.TempDir()
	bundle(t, dir)
	if err := os.Mkdir(dir+"/state", 0o700); err != nil {
		t.Fatal(err)
	}
	killed, done := 0, 0
	for _, verb := range []string{"create", "run --detach"} {
		for n := step; n < until; n += step {
			id := fmt.Sprintf("berth-crash-%d-%s-%d", os.Getpid(), strings.Fields(verb)[0], n)
			args := []string{
				"-qq", "-o", "/dev/null", "-e", "trace=all", "-e", fmt.Sprintf("inject=all:signal=KILL:when=%d", n),
				tool("berth-oci"), "--root", dir + "/state",
			}
			args = append(append(args, strings.Fields(verb)...), "--bundle", dir, id)
			cmd := exec.Command("strace", args...)
			if err := cmd.Run(); err == nil {
				done++
				n = until // it is shorter than that
			} else {
				killed++
			}
			clean(t, dir, id)
		}
	}
	t.Logf("%d killed, %d done", killed, done)
	if killed < 20 || done == 0 {
		t.Errorf("%d of the commands were killed: the moments are not all there are", killed)
	}
}

// clean removes what is left of a container with the commands for that.
func clean(t *testing.T, dir, id string) {
	t.Helper()
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := exec.Command(tool("berth-oci"), append([]string{"--root", dir + "/state"}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	if out, err := run("state", id); err != nil && !strings.Contains(out, "does not exist") {
		t.Errorf("%s: state: %v: %s", id, err, out)
	}
	if out, err := run("list"); err != nil {
		t.Errorf("%s: list: %v: %s", id, err, out)
	}
	if out, err := run("kill", id, "KILL"); err != nil && !strings.Contains(out, "not running") && !strings.Contains(out, "does not exist") {
		t.Errorf("%s: kill: %v: %s", id, err, out)
	}
	if out, err := run("delete", "--force", id); err != nil {
		t.Errorf("%s: delete: %v: %s", id, err, out)
	}
	entries, err := os.ReadDir(dir + "/state")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, e := range entries {
		if e.Name() != "~seccomp" {
			t.Errorf("%s: left in the state directory: %s", id, e.Name())
		}
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/*/" + id)
	if err != nil || len(groups) > 0 {
		t.Errorf("%s: left of the cgroup: %v, %v", id, groups, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("%s: a mount is left (%v)", id, err)
	}
	if p := processes(dir); len(p) > 0 {
		t.Errorf("%s: processes are left: %v", id, p)
	}
}

// processes finds those whose root is the bundle's, or that have it open.
func processes(dir string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*") // none is none
	for _, p := range all {
		cmdline, err := os.ReadFile(p + "/cmdline")
		if err == nil && strings.HasPrefix(string(cmdline), "berth-crash-sleep\x00") {
			found = append(found, p)
		}
	}
	return found
}

func tool(name string) string {
	if bin := os.Getenv("BERTH_TEST_BIN"); bin != "" && name == "berth-oci" {
		return bin + "/" + name
	}
	return name
}

// bundle makes one whose command has a name of its own and sleeps.
func bundle(t *testing.T, dir string) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir+"/rootfs/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/rootfs/bin/busybox", b, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool("berth-oci"), "spec", "--bundle", dir).CombinedOutput(); err != nil {
		t.Fatalf("spec: %v: %s", err, out)
	}
	raw, err := os.ReadFile(dir + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	process := c["process"].(map[string]any)
	process["terminal"] = false
	process["args"] = []string{"/bin/busybox", "sh", "-c", "exec -a berth-crash-sleep /bin/busybox sleep 1000"}
	if raw, err = json.Marshal(c); err == nil {
		err = os.WriteFile(dir+"/config.json", raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
