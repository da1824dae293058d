package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"berth/internal/testutil"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// keys are the names in a JSON document, those inside as a.b; arrays and maps
// whose names are data are not looked into.
func keys(t *testing.T, doc string) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	found := map[string]bool{}
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		m, ok := v.(map[string]any)
		if !ok || strings.HasSuffix(prefix, "raw.") || strings.HasSuffix(prefix, "hugetlb.") {
			return
		}
		for name, value := range m {
			found[prefix+name] = true
			walk(prefix+name+".", value)
		}
	}
	walk("", v)
	return slices.Sorted(maps.Keys(found))
}

// The same commands, given to berth-oci and to runc, end with the same codes,
// and their documents have the same properties.
func TestLikeRunc(t *testing.T) {
	testutil.RequireRoot(t)
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal("there is no runc: docker.io, which make test installs, brings it")
	}
	memory := int64(64 << 20)
	change := func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &memory} }
	var codes, docs [2][]string
	for i, program := range []string{"", runc} {
		b := newBox(t, program, forever, change)
		id := b.id("like")
		note := func(args ...string) string {
			code, out, _ := b.run(args...)
			codes[i] = append(codes[i], fmt.Sprintf("%s: %d", strings.ReplaceAll(strings.Join(args, " "), id, "ID"), code))
			return out
		}
		note("state", id)
		note("delete", id)
		note("delete", "--force", id)
		note("kill", id)
		note("create", "a/b")
		note("create", id)
		note("create", id)
		docs[i] = append(docs[i], keys(t, note("state", id))...)
		note("start", id)
		note("start", id)
		docs[i] = append(docs[i], keys(t, note("list", "--format", "json"))...)
		note("list", "-q")
		note("list", "--format", "xml")
		note("ps", id)
		note("ps", "--format", "json", id)
		note("exec", id, "sh", "-c", "exit 5")
		note("exec", id, "sh", "-c", "kill -9 $$")
		note("exec", id, "nope")
		note("exec", id)
		note("exec", "--nope", id, "true")
		note("exec", "--cwd", "relative", id, "true")
		note("pause", id)
		note("exec", id, "true")
		note("resume", id)
		note("update", "--memory", "32m", id)
		note("update", "--memory", "x", id)
		stats := keys(t, note("events", "--stats", id))
		docs[i] = append(docs[i], slices.DeleteFunc(stats, func(k string) bool { return strings.Contains(k, "psi") })...)
		note("events", "--interval", "0s", id)
		note("kill", id, "NOPE")
		note("delete", id)
		note("kill", id, "TERM")
		b.await("the end of "+id, func() bool { return b.status(id) == "stopped" })
		note("state", id)
		note("exec", id, "true")
		note("start", id)
		note("kill", id, "TERM")
		note("kill", "--all", id)
		note("delete", id)
		note("list", "extra")
		note("nope")
		note("--nope")
	}
	if d := cmp.Diff(codes[1], codes[0]); d != "" {
		t.Errorf("exit codes (-runc, +berth-oci):\n%s", d)
	}
	if d := cmp.Diff(docs[1], docs[0]); d != "" {
		t.Errorf("documents (-runc, +berth-oci):\n%s", d)
	}
}
