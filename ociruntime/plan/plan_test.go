package plan

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/internal/linux"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// baseSpec is a spec as the engine makes them, small enough to read its plan.
func baseSpec() *specs.Spec {
	caps := []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"}
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 524288, Size: 65536}}
	return &specs.Spec{
		Hostname: "0123456789ab",
		Root:     &specs.Root{},
		Process: &specs.Process{
			Args: []string{"sh", "-c", "exit 3"}, Env: []string{"PATH=/usr/bin:/bin", "HOME=/root"}, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/berth/0123", UIDMappings: ids, GIDMappings: ids,
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.UserNamespace},
				{Type: specs.MountNamespace},
				{Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.CgroupNamespace},
			},
			MaskedPaths: []string{"/proc/kcore"}, ReadonlyPaths: []string{"/proc/sys"},
		},
	}
}

func baseInput() Input {
	return Input{
		Spec:       baseSpec(),
		Rootfs:     &linux.Overlay{Root: "/var/lib/berth", Lower: []string{"layers/b", "layers/a"}, Upper: "containers/c/upper", Work: "containers/c/work"},
		Joins:      []string{"memory", "pids", "unified"},
		IntoCgroup: true,
		CgroupDirs: []CgroupDir{{Name: "memory", Path: "/sys/fs/cgroup/memory/berth/0123"}, {Name: "cpu,cpuacct", Path: "/sys/fs/cgroup/cpu,cpuacct/berth/0123"}},
		NotDir:     map[string]bool{},
		LastCap:    40,
	}
}

// without removes kinds of namespaces.
func without(s *specs.Spec, kinds ...specs.LinuxNamespaceType) {
	var left []specs.LinuxNamespace
	for _, n := range s.Linux.Namespaces {
		keep := true
		for _, k := range kinds {
			keep = keep && n.Type != k
		}
		if keep {
			left = append(left, n)
		}
	}
	s.Linux.Namespaces = left
}

// beGuest makes a container one that lives in the mount namespace of others.
func beGuest(in *Input, path string) {
	without(in.Spec, specs.UserNamespace, specs.MountNamespace)
	in.Spec.Linux.UIDMappings, in.Spec.Linux.GIDMappings = nil, nil
	if path != "" {
		in.Spec.Linux.Namespaces = append(in.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.MountNamespace, Path: path})
	}
	in.Rootfs, in.Spec.Root.Path, in.Handover = nil, "/srv/root", &Handover{}
}

func TestBuildGolden(t *testing.T) {
	filter := []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}
	mode := os.FileMode(0o660)
	gid := uint32(7)
	tests := map[string]func(in *Input){
		"default":  func(*Input) {},
		"terminal": func(in *Input) { in.Spec.Process.Terminal, in.Width, in.Height = true, 80, 24 },
		"user": func(in *Input) {
			in.Spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6}}
			in.Spec.Process.Cwd = "/work"
			in.Spec.Process.NoNewPrivileges = true
			in.Filter = filter
		},
		"filter": func(in *Input) { in.Filter, in.FilterFlags = filter, 2 },
		"binds": func(in *Input) {
			in.Spec.Mounts = append(in.Spec.Mounts,
				specs.Mount{Destination: "/data", Type: "bind", Source: "/srv/data", Options: []string{"rbind", "rro", "idmap"}},
				specs.Mount{Destination: "/etc/hosts", Type: "bind", Source: "/srv/hosts", Options: []string{"bind", "rslave"}})
			in.NotDir["/srv/hosts"] = true
			in.Spec.Root.Readonly = true
			in.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: &mode, GID: &gid}}
		},
		"limits": func(in *Input) {
			adj := 100
			in.Spec.Process.OOMScoreAdj = &adj
			in.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 4096}}
			in.Spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		},
		"host-namespaces": func(in *Input) { without(in.Spec, specs.NetworkNamespace, specs.PIDNamespace, specs.CgroupNamespace) },
		"host-users": func(in *Input) {
			without(in.Spec, specs.UserNamespace)
			in.Spec.Linux.UIDMappings, in.Spec.Linux.GIDMappings = nil, nil
		},
		"attached-layers": func(in *Input) { in.AttachedLayers = true },
		"directory":       func(in *Input) { in.Rootfs, in.Spec.Root.Path = nil, "/srv/root" },
		"handover": func(in *Input) {
			in.Rootfs, in.Spec.Root.Path = nil, "/srv/root"
			in.Spec.Process.Terminal, in.Filter = true, filter
			in.Handover = &Handover{Wait: true, Hooks: true}
		},
		"handover-files": func(in *Input) { in.Handover = &Handover{Wait: true, Preserve: 2, NoPivot: true} },
		"guest": func(in *Input) {
			beGuest(in, "")
			in.Spec.Process.Terminal, in.Spec.Process.Cwd = true, "/work"
			in.Spec.Linux.RootfsPropagation = "runbindable"
			in.Spec.Mounts = append(in.Spec.Mounts, specs.Mount{Destination: "/data", Source: "/srv/data", Options: []string{"bind", "unbindable"}})
			in.Handover.Wait, in.Handover.Hooks = true, true
		},
		"guest-joined": func(in *Input) { beGuest(in, "/proc/1/ns/mnt") },
		"joined": func(in *Input) {
			in.Handover = &Handover{}
			for i := range in.Spec.Linux.Namespaces {
				if n := &in.Spec.Linux.Namespaces[i]; n.Type == specs.NetworkNamespace || n.Type == specs.UserNamespace {
					n.Path = "/proc/1/ns/" + string(n.Type)
				}
			}
			in.Spec.Linux.Namespaces = append(in.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			in.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 100}}
		},
		"joined-pids": func(in *Input) { // by a keeper that stays
			for i := range in.Spec.Linux.Namespaces {
				if n := &in.Spec.Linux.Namespaces[i]; n.Type == specs.PIDNamespace || n.Type == specs.UserNamespace {
					n.Path = "/proc/1/ns/" + string(n.Type)
				}
			}
		},
		"cgroup2": func(in *Input) {
			in.Joins, in.CgroupDirs = []string{"unified"}, []CgroupDir{{Path: "/sys/fs/cgroup/berth/0123"}}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			in := baseInput()
			change(&in)
			before, err := json.Marshal(in.Spec)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			if after, err := json.Marshal(in.Spec); err != nil || string(before) != string(after) {
				t.Errorf("Build changed its input (%v)", err)
			}
			compareGolden(t, name, p.String())
		})
	}
	for name, change := range map[string]func(in *Input){
		"exec":          func(*Input) {},
		"exec-handover": func(in *Input) { in.Handover = &Handover{Preserve: 2} },
		"exec-guest":    func(in *Input) { beGuest(in, ""); in.Handover.Preserve = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			in := baseInput()
			change(&in)
			in.Rootfs, in.CgroupDirs = nil, nil
			in.Spec.Process.Terminal = true
			p, err := BuildExec(in)
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name, p.String())
		})
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func TestBuildRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(in *Input)
		want   string
	}{
		"no command":         {func(in *Input) { in.Spec.Process.Args = nil }, "process.args is empty"},
		"no mount namespace": {func(in *Input) { beGuest(in, ""); in.Handover = nil }, "no new mount namespace"},
		"mount namespace":    {func(in *Input) { beGuest(in, "/proc/1/ns/mnt"); in.Handover = nil }, "no new mount namespace"},
		"mount namespace of others with a user namespace": {func(in *Input) {
			in.Handover = &Handover{}
			without(in.Spec, specs.MountNamespace)
		}, "without a user namespace"},
		"mount namespace of others, rootless": {func(in *Input) { beGuest(in, ""); in.Rootless = true }, "only with root's privileges"},
		"unknown namespace":                   {func(in *Input) { in.Spec.Linux.Namespaces[1].Type = "space" }, "not supported"},
		"no id map":                           {func(in *Input) { in.Spec.Linux.UIDMappings = nil }, "uid_map is empty"},
		"unknown capability":                  {func(in *Input) { in.Spec.Process.Capabilities.Bounding = []string{"CAP_FLY"} }, "capability CAP_FLY is unknown"},
		"unknown rlimit":                      {func(in *Input) { in.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} }, "rlimit RLIMIT_X is unknown"},
		"one rlimit twice": {func(in *Input) {
			in.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_CORE"}}
		}, "rlimit RLIMIT_CORE is given twice"},
		"unknown scheduler":   {func(in *Input) { in.Spec.Process.Scheduler = &specs.Scheduler{Policy: "SCHED_X"} }, "unknown policy"},
		"unknown I/O class":   {func(in *Input) { in.Spec.Process.IOPriority = &specs.LinuxIOPriority{} }, "unknown class"},
		"unknown personality": {func(in *Input) { in.Spec.Linux.Personality = &specs.LinuxPersonality{} }, "unknown domain"},
		"unknown memory mode": {func(in *Input) { in.Spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{} }, "unknown mode"},
		"relative cwd":        {func(in *Input) { in.Spec.Process.Cwd = "work" }, `process.cwd "work" is not an absolute path`},
		"root as destination": {func(in *Input) { in.Spec.Mounts[0].Destination = "." }, "mount destination is /"},
		"relative source":     {func(in *Input) { in.Spec.Mounts[0] = specs.Mount{Destination: "/x", Type: "bind", Source: "x"} }, `bind source "x" is not an absolute path`},
		"unknown device type": {func(in *Input) { in.Spec.Linux.Devices = []specs.LinuxDevice{{Path: "/etc/x", Type: "d"}} }, "c, u, b and p are possible"},
		"no proc at /proc":    {func(in *Input) { in.Spec.Mounts[0].Type = "tmpfs" }, "must be a proc file system"},
		"two of /dev":         {func(in *Input) { in.Spec.Mounts[2] = in.Spec.Mounts[1] }, "mount /dev is a tmpfs twice"},
		"no type of mount":    {func(in *Input) { in.Spec.Mounts[0].Type = "" }, "mount /proc has no type"},
		"id map of a tmpfs":   {func(in *Input) { in.Spec.Mounts[3].Options = []string{"idmap"} }, "only binds can"},
		"half an id map": {func(in *Input) {
			in.Spec.Mounts[3] = specs.Mount{Destination: "/x", Source: "/x", Options: []string{"bind"}, UIDMappings: in.Spec.Linux.UIDMappings}
		}, "give both"},
		"id map of no user namespace": {func(in *Input) {
			without(in.Spec, specs.UserNamespace)
			in.Spec.Mounts[3] = specs.Mount{Destination: "/x", Source: "/x", Options: []string{"bind", "ridmap"}}
		}, "has no user namespace to take them from"},
		"unknown propagation of the root": {func(in *Input) { in.Spec.Linux.RootfsPropagation = "half" }, `linux.rootfsPropagation is "half"`},
		"long option of a file system": {func(in *Input) {
			in.Spec.Mounts[3].Options = []string{"x=" + strings.Repeat("y", 256)}
		}, "more than 255 bytes"},
		"NUL in an argument":    {func(in *Input) { in.Spec.Process.Args = []string{"/bin/a\x00b"} }, "NUL byte"},
		"hostname without uts":  {func(in *Input) { without(in.Spec, specs.UTSNamespace) }, "needs a new uts namespace"},
		"environment too large": {func(in *Input) { in.Spec.Process.Env = []string{strings.Repeat("x", maxEnv)} }, "shorten the environment"},
		"too many layers": {func(in *Input) {
			in.AttachedLayers = true
			in.Rootfs.Lower = slices.Repeat([]string{"layers/0"}, linux.MaxLower+1)
		}, "overlayfs takes at most 500"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := baseInput()
			tc.change(&in)
			_, err := Build(in)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Build: %v; want %q", err, tc.want)
			}
		})
	}
}

const maxEnv = 1 << 20
