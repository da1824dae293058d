package intelrdt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fake is a directory that behaves like resctrl: groups come with their files.
func fake(t *testing.T) resctrl {
	t.Helper()
	files := func(dir string) error {
		return errors.Join(os.WriteFile(dir+"/tasks", nil, 0o644), os.WriteFile(dir+"/schemata", []byte("L3:0=fff;1=fff\nMB:0= 100;1= 100\n"), 0o644))
	}
	r := resctrl{root: t.TempDir()}
	r.mkdir = func(dir string, mode os.FileMode) error {
		if err := os.Mkdir(dir, mode); err != nil {
			return err
		}
		return errors.Join(files(dir), os.MkdirAll(dir+"/mon_groups", 0o755))
	}
	if err := errors.Join(files(r.root), os.Mkdir(r.root+"/mon_groups", 0o755), r.mkdir(r.root+"/given", 0o755)); err != nil {
		t.Fatal(err)
	}
	return r
}

// clear empties a group, as rmdir(2) in resctrl does not mind its files.
func (r resctrl) clear(t *testing.T, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		for _, f := range []string{"tasks", "schemata", "mon_groups"} {
			if err := os.Remove(r.root + "/" + d + "/" + f); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
}

func TestGroups(t *testing.T) {
	for name, tc := range map[string]struct {
		spec     specs.LinuxIntelRdt
		dir      string // below the root
		schemata string // of it; empty: as it was
		left     bool   // after delete
	}{
		"own":        {specs.LinuxIntelRdt{}, "c1", "", false},
		"own shares": {specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20", Schemata: []string{"L2:0=3", "L3:1=1"}}, "c1", "L3:0=f\nMB:0=20\nL2:0=3\nL3:1=1\n", false},
		"given":      {specs.LinuxIntelRdt{ClosID: "given"}, "given", "", true},
		"same":       {specs.LinuxIntelRdt{ClosID: "given", L3CacheSchema: "L3:1=0FFF", MemBwSchema: "MB:0=100"}, "given", "", true},
		"new name":   {specs.LinuxIntelRdt{ClosID: "fresh", Schemata: []string{"L3:0=1"}}, "fresh", "L3:0=1\n", true},
		"default":    {specs.LinuxIntelRdt{ClosID: "/"}, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := fake(t)
			g, err := r.create(&tc.spec, "c1")
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Join(42); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(r.root, tc.dir)
			if tasks, err := os.ReadFile(dir + "/tasks"); err != nil || string(tasks) != "42" {
				t.Errorf("tasks %q, %v", tasks, err)
			}
			got, err := os.ReadFile(dir + "/schemata")
			if err != nil || tc.schemata != "" && !strings.HasPrefix(string(got), tc.schemata) || tc.schemata == "" && !strings.HasPrefix(string(got), "L3:0=fff") {
				t.Errorf("schemata %q, %v; want %q", got, err, tc.schemata)
			}
			if !tc.left {
				r.clear(t, tc.dir)
			}
			if err := errors.Join(r.delete(&tc.spec, "c1"), r.delete(&tc.spec, "c1")); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(dir); tc.left != (err == nil) {
				t.Errorf("after delete: %v", err)
			}
		})
	}
}

func TestMonitoring(t *testing.T) {
	r := fake(t)
	spec := &specs.LinuxIntelRdt{ClosID: "given", EnableMonitoring: true}
	g, err := r.create(spec, "c1")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Join(7); err != nil {
		t.Fatal(err)
	}
	if tasks, err := os.ReadFile(r.root + "/given/mon_groups/c1/tasks"); err != nil || string(tasks) != "7" {
		t.Errorf("tasks %q, %v", tasks, err)
	}
	if _, err := r.create(spec, "c1"); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second container of the name: %v", err)
	}
	r.clear(t, "given/mon_groups/c1")
	if err := r.delete(spec, "c1"); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(r.root + "/given/mon_groups"); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		spec specs.LinuxIntelRdt
		want error
	}{
		"other shares":  {specs.LinuxIntelRdt{ClosID: "given", L3CacheSchema: "L3:0=1"}, errdefs.ErrFailedPrecondition},
		"unknown share": {specs.LinuxIntelRdt{ClosID: "given", Schemata: []string{"L2:0=1"}}, errdefs.ErrFailedPrecondition},
		"no such group": {specs.LinuxIntelRdt{ClosID: "none"}, os.ErrNotExist},
		"a path":        {specs.LinuxIntelRdt{ClosID: "../x"}, errdefs.ErrInvalidArgument},
		"the parent":    {specs.LinuxIntelRdt{ClosID: ".."}, errdefs.ErrInvalidArgument},
		"two lines":     {specs.LinuxIntelRdt{L3CacheSchema: "L3:0=1\nMB:0=1"}, errdefs.ErrInvalidArgument},
		"no bandwidth":  {specs.LinuxIntelRdt{MemBwSchema: "L3:0=1"}, errdefs.ErrInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			r := fake(t)
			before, err := os.ReadDir(r.root)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.create(&tc.spec, "c1"); !errors.Is(err, tc.want) {
				t.Errorf("create: %v, want %v", err, tc.want)
			}
			if after, err := os.ReadDir(r.root); err != nil || len(after) != len(before) {
				t.Errorf("left: %v, %v", after, err)
			}
		})
	}
	if _, err := find(); err != nil && !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("find: %v", err)
	}
}
