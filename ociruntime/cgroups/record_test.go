package cgroups

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
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

func TestRecordRefused(t *testing.T) {
	for _, r := range []Record{
		{}, {Unified: "/etc/x", Mount: "/sys/fs/cgroup"}, {Unified: "/sys/fs/cgroup/../x", Mount: "/sys/fs/cgroup"},
		{Unified: "/sys/fs/cgroup", Mount: "/sys/fs/cgroup"}, {V1: []V1Record{{Dir: "/m/a", Mount: "/n", Controllers: []string{"memory"}}}},
		{V1: []V1Record{{Dir: "/m/a", Mount: "/m"}}}, {Unified: "x/y", Mount: "x"},
	} {
		if _, err := r.Open(); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
