package cgroups

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/ociruntime/cgroups/hierarchy"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

const ownCgroups = `9:name=systemd:/init.scope
4:memory:/docker/abc/sub
1:cpu,cpuacct:/
0::/user.slice/session-1.scope
`

func TestPlace(t *testing.T) {
	v1 := []Hierarchy{
		{"/sys/fs/cgroup/cpu,cpuacct", []string{"cpu", "cpuacct"}, "/"},
		{"/sys/fs/cgroup/memory", []string{"memory"}, "/docker/abc"},
		{"/sys/fs/cgroup/systemd", []string{"name=systemd"}, "/other"},
	}
	for _, tc := range []struct {
		name string
		l    Layout
		want []string
	}{
		{"v1", Layout{V1: v1}, []string{"/sys/fs/cgroup/cpu,cpuacct/c1", "/sys/fs/cgroup/memory/sub/c1", "/sys/fs/cgroup/systemd/c1"}},
		{"hybrid: in the own one", Layout{V1: v1[:1], Unified: "/sys/fs/cgroup/unified", UnifiedRoot: "/"}, []string{
			"/sys/fs/cgroup/cpu,cpuacct/c1", "/sys/fs/cgroup/unified/user.slice/session-1.scope/c1",
		}},
		{"v2: beside the own one", Layout{Unified: "/sys/fs/cgroup", UnifiedRoot: "/"}, []string{"/sys/fs/cgroup/user.slice/c1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, tc.l.beside(hierarchy.ParseOwn(ownCgroups), "/c1").dirs()); d != "" {
				t.Error(d)
			}
		})
	}
	top := Layout{Unified: "/sys/fs/cgroup", UnifiedRoot: "/"}.beside(hierarchy.ParseOwn("0::/\n"), "/c1")
	if top.unified != "/sys/fs/cgroup/c1" {
		t.Errorf("from the root: %s", top.unified)
	}
}

func TestSecurity23PlaceLeadsNowhereElse(t *testing.T) {
	l := Layout{Unified: "/u", UnifiedRoot: "/"}
	for given, want := range map[string]string{
		"/a/../../b": "/u/b", "/a//b/": "/u/a/b", "../../a": "/a", "a/../../../etc": "/etc",
	} {
		c, err := l.place(given, "id")
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		if !strings.HasSuffix(c.unified, want) || strings.Contains(c.unified, "..") || !strings.HasPrefix(c.unified, "/u/") {
			t.Errorf("%s: %s", given, c.unified)
		}
	}
	for _, p := range []string{"/", "..", ".", "/a/cgroup.procs", "/a\nb", strings.Repeat("/x", 2000)} {
		if _, err := l.place(p, "id"); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%.20q: %v", p, err)
		}
	}
}

func TestParseSub(t *testing.T) {
	for _, tc := range []struct {
		sub   []string
		below map[string]string
		all   string
		bad   bool
	}{
		{sub: nil},
		{sub: []string{"a/b"}, all: "/a/b"},
		{sub: []string{"/a"}, all: "/a"},
		{sub: []string{"/"}},
		{sub: []string{"memory,cpu:a", "pids:/b"}, below: map[string]string{"memory": "/a", "cpu": "/a", "pids": "/b"}},
		{sub: []string{"a", "b"}, bad: true},
		{sub: []string{"memory:a", "memory:b"}, bad: true},
		{sub: []string{":a"}, bad: true},
		{sub: []string{"memory,:a"}, bad: true},
		{sub: []string{"../a"}, bad: true},
		{sub: []string{"a/../../b"}, bad: true},
		{sub: []string{"memory:a/.."}, bad: true},
	} {
		below, all, err := parseSub(tc.sub)
		if tc.bad {
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%q: %v", tc.sub, err)
			}
			continue
		}
		if err != nil || all != tc.all || !cmp.Equal(below, tc.below) {
			t.Errorf("%q: %v %q %v", tc.sub, below, all, err)
		}
	}
}

// fakeV2 is a version 2 hierarchy of ordinary files, whose groups have what
// the kernel makes in them.
func fakeV2(t *testing.T, files map[string]string) Layout {
	t.Helper()
	l := Layout{Unified: t.TempDir(), UnifiedRoot: "/", UnifiedControllers: []string{"cpu", "io", "memory", "pids"}}
	l.made = func(dir string) error { return fill(dir, files) }
	if err := fill(l.Unified, map[string]string{"cgroup.subtree_control": ""}); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestEnableStopsWhereItIsAlready(t *testing.T) {
	l := fakeV2(t, map[string]string{"cgroup.subtree_control": "cpu io memory pids\n", "cgroup.procs": "", "cgroup.type": "domain\n"})
	if _, err := l.create(t.Context(), "/a/b/c", nil); err != nil {
		t.Fatal(err)
	}
	root := mustRead(t, l.Unified+"/cgroup.subtree_control")
	if root != "" {
		t.Errorf("the root was written although the parent has everything: %q", root)
	}
	l = fakeV2(t, map[string]string{"cgroup.subtree_control": "", "cgroup.procs": "", "cgroup.type": "domain\n"})
	if _, err := l.create(t.Context(), "/a/b/c", nil); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{"": "+cpu +io +memory +pids", "/a": "+cpu +io +memory +pids", "/a/b": "+cpu +io +memory +pids", "/a/b/c": ""} {
		if got := mustRead(t, l.Unified+dir+"/cgroup.subtree_control"); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}

func TestBelowThreadedItIsThreaded(t *testing.T) {
	l := fakeV2(t, map[string]string{"cgroup.subtree_control": "cpu\n", "cgroup.procs": "", "cgroup.type": "domain invalid\n"})
	if _, err := l.create(t.Context(), "/a/b", nil); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, l.Unified+"/a/b/cgroup.type"); !strings.HasPrefix(got, "threaded") {
		t.Errorf("type %q", got)
	}
}

func TestExecJoinsSub(t *testing.T) {
	l := Layout{V1: []Hierarchy{{t.TempDir(), []string{"cpu", "cpuacct"}, "/"}, {t.TempDir(), []string{"memory"}, "/"}, {t.TempDir(), []string{"name=systemd"}, "/"}}}
	c := l.At("/c")
	for i, dir := range c.dirs() {
		if err := fill(dir, nil); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			continue
		}
		if err := fill(dir+"/sub", nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		sub  []string
		want string // of the second parts
		bad  error
	}{
		{nil, "/c/tasks /c/tasks /c/tasks", nil},
		{[]string{"cpu:sub"}, "/c/sub/tasks /c/tasks /c/tasks", nil},
		{[]string{"cpuacct:sub", "systemd:sub"}, "/c/sub/tasks /c/tasks /c/sub/tasks", nil},
		{[]string{"name=systemd:sub"}, "/c/tasks /c/tasks /c/sub/tasks", nil},
		{[]string{"memory:sub"}, "", errdefs.ErrNotFound},
		{[]string{"sub"}, "", errdefs.ErrNotFound},
		{[]string{"rdma:sub"}, "", errdefs.ErrInvalidArgument},
	} {
		joins, err := c.ExecJoins(tc.sub, 1)
		if tc.bad != nil || err != nil {
			if !errors.Is(err, tc.bad) {
				t.Errorf("%q: %v", tc.sub, err)
			}
			continue
		}
		var got []string
		for i, j := range joins {
			got = append(got, strings.TrimPrefix(j.Path, l.V1[i].Mount))
		}
		if s := strings.Join(got, " "); s != tc.want || !slices.ContainsFunc(joins, func(j Join) bool { return j.Name == "cpu,cpuacct" }) {
			t.Errorf("%q: %s", tc.sub, s)
		}
	}
}
