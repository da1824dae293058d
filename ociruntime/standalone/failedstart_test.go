package standalone

import (
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestFailedStartEnds: when start has failed, init is gone. containerd's shim
// refuses to delete a task that is still created, and Docker then leaves it.
func TestFailedStartEnds(t *testing.T) {
	c := newContainer(t, "/tmp/gone")
	c.must(os.WriteFile(c.dir+"/rootfs/tmp/gone", []byte("#!/bin/sh\n"), 0o755))
	c.must(c.runtime.Create(t.Context(), c.write()))
	s := c.wantStatus(specs.StateCreated)
	c.must(os.Remove(c.dir + "/rootfs/tmp/gone"))
	if err := c.runtime.Start(t.Context(), c.id); err == nil || !strings.Contains(err.Error(), "/tmp/gone") {
		t.Errorf("start of a command that is gone: %v", err)
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(s.Pid) + "/stat")
	if _, rest, ok := strings.Cut(string(stat), ") "); err == nil && ok && !strings.HasPrefix(rest, "Z") {
		t.Errorf("init is still there: %s", rest[:1])
	}
	c.wantStatus(specs.StateStopped)
}
