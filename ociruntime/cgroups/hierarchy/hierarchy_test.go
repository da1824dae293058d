package hierarchy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	got := ParseMounts(`30 22 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 /docker/a\040b /odd\011place rw - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
34 31 0:31 / /nothing rw - cgroup cgroup rw,clone_children
41 31 0:38 /../.. /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
short - cgroup2
`)
	want := []Mount{
		{"/sys/fs/cgroup/cpu,cpuacct", "/", 1, []string{"cpu", "cpuacct"}},
		{"/odd\tplace", "/docker/a b", 1, []string{"name=systemd"}},
		{"/sys/fs/cgroup/unified", "/../..", 2, nil},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestOwn(t *testing.T) {
	got := ParseOwn("9:name=systemd:/init.scope\n1:cpu,cpuacct:/\n4:memory:/../x\nbroken\n0::/a/b:c\n")
	want := Own{Unified: "/a/b:c", V1: map[string]string{"name=systemd": "/init.scope", "cpu,cpuacct": "", "memory": ""}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBelow(t *testing.T) {
	for _, tc := range [][3]string{
		{"/", "/a", "/a"}, {"/a", "/a/b", "/b"}, {"/a", "/a", ""}, {"/a", "/ab", ""}, {"/x", "/a", ""}, {"/../..", "/a", ""},
	} {
		if got := Below(tc[0], tc[1]); got != tc[2] {
			t.Errorf("%q of %q: %q, want %q", tc[1], tc[0], got, tc[2])
		}
	}
}
