package cgroups

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestRecord(t *testing.T) {
	l := Layout{
		Unified: "/u", UnifiedRoot: "/", UnifiedControllers: []string{"hugetlb"},
		V1: []Hierarchy{{"/m", []string{"memory"}, "/"}, {"/p", []string{"pids"}, "/x"}},
	}
	c := l.At("/a")
	c.v1[0] = "" // could not be made there
	data, err := json.Marshal(c.Record())
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	again, err := r.Open()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c.dirs(), again.dirs()); d != "" {
		t.Error(d)
	}
	for controller, want := range map[string]int{"memory": 0, "pids": 1, "hugetlb": 2, "cgroup": 2} {
		if got := again.version(controller); got != want {
			t.Errorf("%s: version %d, want %d", controller, got, want)
		}
	}
}

func TestRecordOfNone(t *testing.T) {
	none := &Cgroup{layout: v2Only(), unified: ""}
	if r := none.Record(); r.Path != "" || r.Unified != "" || !none.None() {
		t.Errorf("%+v", r)
	}
	c, err := Record{}.Open()
	if err != nil || !c.None() || len(c.Joins()) != 0 || len(c.Dirs()) != 0 {
		t.Fatalf("%v %v", c, err)
	}
	ctx := t.Context()
	files, err := c.OpenJoins(nil)
	if err := errors.Join(err, c.Make(ctx), c.Kill(ctx), c.Delete(ctx), c.Abandon(ctx)); err != nil || len(files) != 0 {
		t.Errorf("%v %v", files, err)
	}
	_, statsErr := c.Stats()
	_, pidsErr := c.Pids()
	for what, err := range map[string]error{
		"stats": statsErr, "pids": pidsErr, "pause": c.Pause(ctx), "resume": c.Resume(ctx), "update": c.Update(ctx, &specs.LinuxResources{}),
	} {
		if !errors.Is(err, errdefs.ErrFailedPrecondition) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if paused, err := c.Paused(); paused || err != nil {
		t.Errorf("paused: %v %v", paused, err)
	}
	if oom, err := c.OOMKilled(); oom || err != nil {
		t.Errorf("oom: %v %v", oom, err)
	}
	if joins, err := c.ExecJoins(nil, 1); len(joins) != 0 || err != nil {
		t.Errorf("exec: %v %v", joins, err)
	}
}

func v2Only() Layout {
	return Layout{Unified: "/u", UnifiedRoot: "/", UnifiedControllers: []string{"memory"}}
}

func TestRecordRefused(t *testing.T) {
	for _, r := range []Record{
		{Unified: "/etc/x", Mount: "/sys/fs/cgroup"},
		{Unified: "/sys/fs/cgroup/../x", Mount: "/sys/fs/cgroup"},
		{Unified: "/sys/fs/cgroup", Mount: "/sys/fs/cgroup"},
		{V1: []V1Record{{Dir: "/m/a", Mount: "/n", Controllers: []string{"memory"}}}},
		{V1: []V1Record{{Dir: "/m/a", Mount: "/m"}}},
		{Unified: "x/y", Mount: "x"},
	} {
		if _, err := r.Open(); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
