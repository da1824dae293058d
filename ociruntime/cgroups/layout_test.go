package cgroups

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/ociruntime/cgroups/hierarchy"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

const hybridMounts = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
90 31 0:32 /docker/abc /inner/memory rw - cgroup cgroup rw,memory
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory,clone_children
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
`

func TestParseLayout(t *testing.T) {
	unified := filepath.Join(t.TempDir(), "uni fied")
	if err := os.Mkdir(unified, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unified+"/cgroup.controllers", []byte("cpu hugetlb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	v2 := "41 31 0:38 / " + strings.ReplaceAll(unified, " ", `\040`) + " rw - cgroup2 cgroup2 rw,nsdelegate\n"
	v1 := []Hierarchy{
		{"/sys/fs/cgroup/memory", []string{"memory"}, "/"},
		{"/sys/fs/cgroup/cpu,cpuacct", []string{"cpu", "cpuacct"}, "/"},
		{"/sys/fs/cgroup/systemd", []string{"name=systemd"}, "/"},
	}
	for _, tc := range []struct {
		name, mounts string
		mode         Mode
		v1           []Hierarchy
		controllers  string
	}{
		{"v1", hybridMounts, V1, v1, "cpu cpuacct memory"},
		{"hybrid", hybridMounts + v2, Hybrid, v1, "cpu cpuacct hugetlb memory"},
		{"v2", v2, V2, nil, "cpu hugetlb"},
		{"only a part is mounted", strings.SplitAfter(hybridMounts, "\n")[1], V1, []Hierarchy{{"/inner/memory", []string{"memory"}, "/docker/abc"}}, "memory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := layoutOf(hierarchy.ParseMounts(tc.mounts))
			if err != nil {
				t.Fatal(err)
			}
			if l.Mode() != tc.mode || strings.Join(l.Controllers(), " ") != tc.controllers {
				t.Errorf("%v %v", l.Mode(), l.Controllers())
			}
			if d := cmp.Diff(tc.v1, l.V1); d != "" {
				t.Error(d)
			}
			if tc.mode != V1 && l.Unified != unified {
				t.Errorf("unified at %q", l.Unified)
			}
		})
	}
	if _, err := layoutOf(nil); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("no hierarchy: %v", err)
	}
}

func TestVersionOneWinsWhereItHasTheController(t *testing.T) {
	l := Layout{Unified: "/u", UnifiedControllers: []string{"memory", "hugetlb"}, V1: []Hierarchy{{"/m", []string{"memory"}, "/"}}}
	for controller, want := range map[string]int{"memory": 1, "hugetlb": 2, "rdma": 0} {
		if _, v := l.find(controller); v != want {
			t.Errorf("%s: version %d, want %d", controller, v, want)
		}
	}
}

func TestSecurity23CgroupPath(t *testing.T) {
	for _, p := range []string{
		"", "/", "berth/x", "/berth/../x", "/berth/./x", "/berth//x", "/berth/", "/a\nb", "/a\x00", "/cgroup.procs",
		"/" + strings.Repeat("x", 256), strings.Repeat("/x", 2000),
	} {
		if err := checkPath(p); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%.30q: %v", p, err)
		}
	}
	if err := checkPath("/berth/0f3a"); err != nil {
		t.Error(err)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add(hybridMounts)
	f.Add("3:cpu,cpuacct:/a\n1:name=systemd:/b/../..\n0::/c (deleted)\n")
	f.Fuzz(func(t *testing.T, data string) {
		for _, m := range hierarchy.ParseMounts(data) {
			if m.Version == 1 && len(m.Controllers) == 0 {
				t.Errorf("%+v", m)
			}
		}
		me := hierarchy.ParseOwn(data)
		c := Layout{Unified: "/u", UnifiedRoot: "/", V1: []Hierarchy{{"/m", []string{"memory"}, "/"}}}.beside(me, "/x")
		for _, d := range c.dirs() {
			if strings.Contains(d, "/../") || !strings.HasSuffix(d, "/x") {
				t.Errorf("%q leads out", d)
			}
		}
	})
}
