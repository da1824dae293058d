package cgroups

import (
	"crypto/rand"
	"os"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestOwner(t *testing.T) {
	cgroup, user := specs.LinuxNamespace{Type: specs.CgroupNamespace}, specs.LinuxNamespace{Type: specs.UserNamespace}
	mount := func(options ...string) []specs.Mount {
		return []specs.Mount{{Destination: "/sys/fs/cgroup/", Type: "cgroup", Options: options}}
	}
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 1000}, {ContainerID: 1000, HostID: 500, Size: 1}}
	for _, tc := range []struct {
		name       string
		namespaces []specs.LinuxNamespace
		mounts     []specs.Mount
		uid        uint32
		want       int
	}{
		{"root of a user namespace", []specs.LinuxNamespace{cgroup, user}, mount("rw"), 0, 100000},
		{"another user of it", []specs.LinuxNamespace{cgroup, user}, mount(), 1000, 500},
		{"one that it does not have", []specs.LinuxNamespace{cgroup, user}, mount(), 1001, 0},
		{"without a user namespace", []specs.LinuxNamespace{cgroup}, mount(), 7, 7},
		{"read-only", []specs.LinuxNamespace{cgroup, user}, mount("nosuid", "ro"), 0, 0},
		{"not mounted", []specs.LinuxNamespace{cgroup, user}, nil, 0, 0},
		{"the host's cgroup namespace", []specs.LinuxNamespace{user}, mount(), 0, 0},
		{"another's cgroup namespace", []specs.LinuxNamespace{{Type: specs.CgroupNamespace, Path: "/proc/1/ns/cgroup"}, user}, mount(), 0, 0},
	} {
		s := &specs.Spec{Process: &specs.Process{User: specs.User{UID: tc.uid}}, Mounts: tc.mounts, Linux: &specs.Linux{Namespaces: tc.namespaces, UIDMappings: maps}}
		if got := ArgsOf("id", s, false).Owner; got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
	if a := ArgsOf("id", &specs.Spec{}, true); a.ID != "id" || !a.Systemd || a.Owner != 0 {
		t.Errorf("%+v", a)
	}
}

// Only version 2's files for delegation are given away.
func TestOwnerGetsVersionTwoAlone(t *testing.T) {
	layouts(t, func(t *testing.T, l Layout) {
		c := mustMake(t, l, Args{Path: testRoot + "/" + rand.Text(), Owner: 12345})
		for _, d := range c.Dirs() {
			for file, may := range map[string]bool{"": true, "/cgroup.procs": true, "/cgroup.subtree_control": true, "/cgroup.kill": false, "/cgroup.freeze": false} {
				st, err := os.Stat(d.Path + file)
				if err != nil {
					continue // version 1 has not all of them
				}
				want := uint32(0)
				if may && l.Mode() == V2 {
					want = 12345
				}
				if got := st.Sys().(*syscall.Stat_t).Uid; got != want {
					t.Errorf("%s%s: user %d, want %d", d.Path, file, got, want)
				}
			}
		}
	})
}
