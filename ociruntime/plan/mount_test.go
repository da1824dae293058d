package plan

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Plans of what only few containers ask for.
func TestMountGolden(t *testing.T) {
	own := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 7000, Size: 10}}
	tests := map[string]func(in *Input){
		"mount-options": func(in *Input) {
			in.Spec.Linux.RootfsPropagation, in.Spec.Linux.MountLabel = "rshared", "system_u:object_r:x_t:s0:c1,c2"
			in.Spec.Mounts = append(in.Spec.Mounts,
				specs.Mount{Destination: "/both", Type: "none", Source: "/srv/both", Options: []string{"rbind", "ro", "rnosuid", "rslave", "rshared"}},
				specs.Mount{Destination: "/top", Source: "/srv/top", Options: []string{"bind", "rw", "noatime", "unbindable"}},
				specs.Mount{Destination: "tmp", Type: "tmpfs", Options: []string{"ro", "size=1m,nr_inodes=5", "sync", "shared"}},
				specs.Mount{Destination: "/disk", Type: "ext4", Source: "/dev/sdb", Options: []string{"ro", "noload"}},
				specs.Mount{Destination: "/sys", Type: "none", Options: []string{"remount", "rw", "gid=3", "rnoexec"}})
		},
		"overlay": func(in *Input) {
			lower := strings.Repeat("/l", 100)
			in.Spec.Mounts = append(in.Spec.Mounts, specs.Mount{Destination: "/o", Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + lower + ":" + lower, "upperdir=/u", "workdir=/w"}},
				specs.Mount{Destination: "/p", Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/a:/b,ro"}})
		},
		"devtmpfs": func(in *Input) { in.Spec.Mounts[1].Type, in.Spec.Mounts[1].Options = "devtmpfs", nil },
		"id-maps": func(in *Input) {
			in.Spec.Mounts = append(in.Spec.Mounts,
				specs.Mount{Destination: "/a", Source: "/srv/a", Options: []string{"rbind", "ridmap"}, UIDMappings: own, GIDMappings: own},
				specs.Mount{Destination: "/b", Source: "/srv/b", Options: []string{"bind", "idmap"}, UIDMappings: own, GIDMappings: own},
				specs.Mount{Destination: "/c", Source: "/srv/c", Options: []string{"bind"}, UIDMappings: in.Spec.Linux.UIDMappings, GIDMappings: in.Spec.Linux.GIDMappings})
		},
		"no-dev": func(in *Input) {
			without(in.Spec, specs.UserNamespace)
			in.Spec.Linux.UIDMappings, in.Spec.Linux.GIDMappings = nil, nil
			in.Spec.Mounts, in.Spec.Process.Terminal = nil, true
			in.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
			in.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/run/x/fifo", Type: "p"}, {Path: "/dev/null", Type: "c", Major: 1, Minor: 3, UID: new(uint32)}}
		},
		"bound-dev": func(in *Input) {
			in.Spec.Mounts[1] = specs.Mount{Destination: "/dev", Type: "bind", Source: "/dev", Options: []string{"rbind"}}
			in.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}, {Path: "/opt/fuse", Type: "c", Major: 10, Minor: 229}}
		},
		"cgroup2-of-host": func(in *Input) {
			without(in.Spec, specs.CgroupNamespace)
			in.Joins, in.CgroupDirs = []string{"unified"}, []CgroupDir{{Path: "/sys/fs/cgroup/berth/0123", Root: "/sys/fs/cgroup"}}
		},
		"copy-up": func(in *Input) {
			in.Handover = &Handover{Preserve: 1}
			in.Spec.Mounts = append(in.Spec.Mounts,
				specs.Mount{Destination: "/run", Type: "tmpfs", Options: []string{"tmpcopyup", "ro", "nosuid"}},
				specs.Mount{Destination: "/var/tmp", Type: "tmpfs", Options: []string{"tmpcopyup", "mode=700", "shared"}})
		},
		"attributes": func(in *Input) {
			setAttributes(in)
			without(in.Spec, specs.UserNamespace)
			in.Spec.Linux.UIDMappings, in.Spec.Linux.GIDMappings = nil, nil
		},
		"attributes-of-own-users": setAttributes,
		"bind-devices":            func(in *Input) { in.BindDevices = true },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			in := baseInput()
			change(&in)
			p, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name, p.String())
		})
	}
	t.Run("exec-attributes", func(t *testing.T) {
		in := baseInput()
		setAttributes(&in)
		in.Rootfs, in.CgroupDirs = nil, nil
		in.Spec.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0-1", Final: "1"}
		p, err := BuildExec(in)
		if err != nil {
			t.Fatal(err)
		}
		compareGolden(t, "exec-attributes", p.String())
	})
}

// setAttributes asks for all that a process can be given besides credentials.
func setAttributes(in *Input) {
	p, l := in.Spec.Process, in.Spec.Linux
	p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5}
	p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
	p.ApparmorProfile, p.SelinuxLabel = "some-profile", "system_u:system_r:x_t:s0"
	l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}
	in.Keyring = "_ses.c"
}
