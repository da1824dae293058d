package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const testID = "4bf5b40baaa3ed9a55e1b8b8ae16e9b4f6d2a0c0f6c7f1e7f7d2a6a0c0b1d2e3"

// testHost is a machine with two processors, 8 GiB and cgroup v1.
func testHost() Host {
	return Host{
		Arch: "amd64", Kernel: Kernel{6, 18}, Hostname: "metal", SwapLimit: true,
		MessageQueues: true,
		CPUs:          2, CPUSet: "0-1", MemoryNodes: "0", Memory: 8 << 30,
		Devices: func(p string) ([]specs.LinuxDevice, error) {
			all := []specs.LinuxDevice{
				{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229},
				{Path: "/dev/vda", Type: "b", Major: 254, Minor: 0},
				{Path: "/dev/snd/seq", Type: "c", Major: 116, Minor: 1},
				{Path: "/dev/snd/timer", Type: "c", Major: 116, Minor: 33},
				{Path: "/dev/pts/0", Type: "c", Major: 136, Minor: 0},
			}
			var found []specs.LinuxDevice
			for _, d := range all {
				if d.Path == p || strings.HasPrefix(d.Path, p+"/") {
					found = append(found, d)
				}
			}
			if found == nil {
				return nil, os.ErrNotExist
			}
			return found, nil
		},
	}
}

// testInput is `berth run -ti debian` on that machine.
func testInput() Input {
	return Input{
		ID: testID,
		Image: ocispec.ImageConfig{
			Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"},
			Cmd: []string{"bash"},
			// Labels are the image's and never become privileges.
			Labels: map[string]string{"io.containerd.runtime": "x"},
		},
		Config:      &container.Config{Tty: true, OpenStdin: true},
		HostConfig:  &container.HostConfig{},
		User:        User{AdditionalGids: []uint32{0}, Home: "/root"},
		IDs:         IDRange{Host: 524288, Size: 65536},
		Files:       Files{Hosts: "/c/hosts", Hostname: "/c/hostname", ResolvConf: "/c/resolv.conf"},
		CgroupsPath: "/berth/" + testID,
		Host:        testHost(),
	}
}

func ptr[T any](v T) *T { return &v }

// scenarios change testInput; each has a golden file of its name.
var scenarios = map[string]func(*Input){
	"default": func(*Input) {},
	"plain":   func(in *Input) { in.Config.Tty = false; in.IDs = IDRange{} },
	"command": func(in *Input) {
		in.Image.Entrypoint, in.Image.WorkingDir = []string{"/entry.sh"}, "/srv"
		in.Config.Cmd = []string{"serve", "--port", "80"}
		in.Config.Env = []string{"LANG=de_DE", "EMPTY=", "PATH", "A=b=c"}
		in.Config.Hostname, in.Config.Domainname = "web", "example.org"
		in.HostConfig.ConsoleSize = [2]uint{24, 80}
		in.HostConfig.OomScoreAdj = 500
		in.HostConfig.Umask = ptr(uint32(0o027))
	},
	"user": func(in *Input) { in.User = User{UID: 33, GID: 33, AdditionalGids: []uint32{33, 50}, Home: "/var/www"} },
	"limits": func(in *Input) {
		in.HostConfig.Resources = container.Resources{
			Memory: 512 << 20, MemorySwap: 768 << 20, MemoryReservation: 256 << 20, MemorySwappiness: ptr(int64(10)),
			NanoCPUs: 1_500_000_000, CPUShares: 512, CpusetCpus: "0-1", CpusetMems: "0",
			PidsLimit: ptr(int64(100)), BlkioWeight: 300,
			BlkioWeightDevice:    []*blkiodev.WeightDevice{{Path: "/dev/vda", Weight: 400}},
			BlkioDeviceReadBps:   []*blkiodev.ThrottleDevice{{Path: "/dev/vda", Rate: 1 << 20}},
			BlkioDeviceWriteIOps: []*blkiodev.ThrottleDevice{{Path: "/dev/vda", Rate: 100}},
			Ulimits:              []*container.Ulimit{{Name: "nofile", Soft: 1024, Hard: 2048}, {Name: "core", Soft: 0, Hard: -1}},
		}
	},
	"privileged": func(in *Input) { in.HostConfig.Privileged = true },
	"host-namespaces": func(in *Input) {
		h := in.HostConfig
		h.NetworkMode, h.PidMode, h.IpcMode, h.UTSMode, h.CgroupnsMode = "host", "host", "host", "host", "host"
	},
	"host-everything": func(in *Input) {
		h := in.HostConfig
		h.NetworkMode, h.PidMode, h.IpcMode, h.UsernsMode = "host", "host", "host", "host"
	},
	"join-container": func(in *Input) {
		in.HostConfig.NetworkMode, in.HostConfig.PidMode, in.HostConfig.IpcMode = "container:a", "container:a", "container:a"
		in.Namespaces = map[specs.LinuxNamespaceType]string{
			specs.NetworkNamespace: "/proc/7/ns/net", specs.PIDNamespace: "/proc/7/ns/pid", specs.IPCNamespace: "/proc/7/ns/ipc",
		}
	},
	"mounts": func(in *Input) {
		h := in.HostConfig
		h.ReadonlyRootfs, h.ShmSize = true, 1<<20
		h.Binds = []string{"/srv/data:/data:ro", "/srv/shared:/data/shared:rshared", "/etc/localtime:/etc/localtime"}
		h.Mounts = []mount.Mount{
			{Type: mount.TypeBind, Source: "/srv/x", Target: "/x", ReadOnly: true, BindOptions: &mount.BindOptions{NonRecursive: true}},
			{Type: mount.TypeTmpfs, Target: "/cache", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 1 << 20, Mode: 0o1777}},
		}
		h.Tmpfs = map[string]string{"/run": "rw,exec,size=64m", "/dev/mqueue": ""}
	},
	"security": func(in *Input) {
		h := in.HostConfig
		h.CapDrop, h.CapAdd = []string{"all"}, []string{"net_admin", "CAP_CHOWN"}
		h.SecurityOpt = []string{"no-new-privileges", "seccomp=unconfined", "apparmor=unconfined", "label=disable"}
		h.Sysctls = map[string]string{"net.core.somaxconn": "1024", "kernel.shmmax": "1", "net/ipv4/conf/eth0.1/forwarding": "1"}
	},
	"devices": func(in *Input) {
		in.HostConfig.Devices = []container.DeviceMapping{
			{PathOnHost: "/dev/fuse", PathInContainer: "/dev/fuse", CgroupPermissions: "rw"},
			{PathOnHost: "/dev/snd", PathInContainer: "/dev/sound"},
		}
		in.HostConfig.DeviceCgroupRules = []string{"c 13:* rwm"}
	},
}

func TestBuildGolden(t *testing.T) {
	scenarios := maps.Clone(scenarios)
	scenarios["docker-full"] = func(in *Input) {
		in.User = User{UID: 33, GID: 33, AdditionalGids: []uint32{33, 5}, Home: "/var/www"}
		in.Config, in.HostConfig = docker(t, "docker-full.json")
		var err error
		if in.Mounts, err = Mounts(*in.Config, in.HostConfig); err != nil {
			t.Fatal(err)
		}
		for i, m := range in.Mounts {
			if m.Type == mount.TypeVolume {
				in.Mounts[i].Source = "/volumes/" + m.Name
			}
		}
	}
	for name, change := range scenarios {
		t.Run(name, func(t *testing.T) {
			in := testInput()
			change(&in)
			s, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			// The profile has its own test; here only which it is.
			rules := "none"
			if s.Linux.Seccomp != nil {
				rules = fmt.Sprintf("%d rules, %v", len(s.Linux.Seccomp.Syscalls), s.Linux.Seccomp.Architectures)
				s.Linux.Seccomp = nil
			}
			var got bytes.Buffer
			e := json.NewEncoder(&got)
			e.SetEscapeHTML(false)
			e.SetIndent("", " ")
			if err := e.Encode(s); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "seccomp: %s\n", rules)
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
			}
		})
	}
}

// docker is what Docker's client sends for a request, read as the API does.
func docker(t *testing.T, file string) (*container.Config, *container.HostConfig) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var r container.CreateRequest
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	return r.Config, r.HostConfig
}

// TestDockerClient: `docker create debian true` makes the spec of the same
// request without any option.
func TestDockerClient(t *testing.T) {
	in := testInput()
	in.Config = &container.Config{Cmd: []string{"true"}}
	want, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	in.Config, in.HostConfig = docker(t, "docker-plain.json")
	got, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Input)
		want   string // in the error
	}{
		{"no command", func(in *Input) { in.Image.Cmd = nil }, "no command specified"},
		{"entrypoint reset", func(in *Input) { in.Config.Entrypoint = []string{""} }, "no command specified"},
		{"relative directory", func(in *Input) { in.Config.WorkingDir = "srv" }, `"srv" is not an absolute path`},
		{"NUL in environment", func(in *Input) { in.Config.Env = []string{"A=\x00"} }, "contains a NUL"},
		{"little memory", func(in *Input) { in.HostConfig.Memory = 4 << 20 }, "minimum of 6 MB"},
		{"negative memory", func(in *Input) { in.HostConfig.Memory = -5 }, "invalid memory size -5"},
		{"swap below memory", func(in *Input) { in.HostConfig.Memory, in.HostConfig.MemorySwap = 64<<20, 32<<20 }, "below --memory"},
		{"swap alone", func(in *Input) { in.HostConfig.MemorySwap = 32 << 20 }, "needs --memory"},
		{"swap not limited", func(in *Input) {
			in.Host.SwapLimit = false
			in.HostConfig.Memory, in.HostConfig.MemorySwap = 32<<20, 64<<20
		}, "does not limit swap"},
		{"reservation above memory", func(in *Input) { in.HostConfig.Memory, in.HostConfig.MemoryReservation = 64<<20, 128<<20 }, "lower of the two"},
		{"swappiness", func(in *Input) { in.HostConfig.MemorySwappiness = ptr(int64(101)) }, "between 0 and 100"},
		{"swappiness on v2", func(in *Input) { in.Host.CgroupV2 = true; in.HostConfig.MemorySwappiness = ptr(int64(1)) }, "cgroup v2"},
		{"too many cpus", func(in *Input) { in.HostConfig.NanoCPUs = 3 * nano }, "between 0.01 and 2.00"},
		{"cpus twice", func(in *Input) { in.HostConfig.NanoCPUs, in.HostConfig.CPUQuota = nano, 5000 }, "use one"},
		{"shares", func(in *Input) { in.HostConfig.CPUShares = 1 }, "between 2 and 262144"},
		{"cpuset not there", func(in *Input) { in.HostConfig.CpusetCpus = "0,7" }, "which are 0-1"},
		{"cpuset syntax", func(in *Input) { in.HostConfig.CpusetCpus = "2-1" }, "not a list"},
		{"pids", func(in *Input) { in.HostConfig.PidsLimit = ptr(int64(-2)) }, "--pids-limit -2"},
		{"blkio weight", func(in *Input) { in.HostConfig.BlkioWeight = 5 }, "between 10 and 1000"},
		{"blkio of no block device", func(in *Input) {
			in.HostConfig.BlkioDeviceReadBps = []*blkiodev.ThrottleDevice{{Path: "/dev/fuse", Rate: 1}}
		}, "/dev/fuse: not a block device"},
		{"unknown capability", func(in *Input) { in.HostConfig.CapAdd = []string{"SYS_FOO"} }, `unknown capability "SYS_FOO"`},
		{"capability not there", func(in *Input) {
			in.Host.Capabilities = []string{"CAP_CHOWN"}
			in.HostConfig.CapAdd = []string{"SYS_TIME"}
		}, "CAP_SYS_TIME: the capability is not available"},
		{"ulimit name", func(in *Input) { in.HostConfig.Ulimits = []*container.Ulimit{{Name: "x"}} }, `unknown limit "x"`},
		{"ulimit order", func(in *Input) { in.HostConfig.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: 2, Hard: 1}} }, "above the hard limit"},
		{"duplicate mount", func(in *Input) { in.HostConfig.Binds = []string{"/a:/x", "/b:/x/"} }, "duplicate mount point /x"},
		{"mount over root", func(in *Input) { in.HostConfig.Binds = []string{"/a:/"} }, "root cannot be mounted over"},
		{"relative bind target", func(in *Input) { in.HostConfig.Binds = []string{"/a:b"} }, `"b" is not an absolute path`},
		{"bind option", func(in *Input) { in.HostConfig.Binds = []string{"/a:/b:foo"} }, `unknown option "foo"`},
		{"volume name", func(in *Input) { in.HostConfig.Binds = []string{"../a:/b"} }, "neither an absolute path nor a volume"},
		{"mount type", func(in *Input) { in.HostConfig.Mounts = []mount.Mount{{Type: "npipe", Target: "/x"}} }, `type "npipe"`},
		{"tmpfs option", func(in *Input) { in.HostConfig.Tmpfs = map[string]string{"/x": "foo"} }, `unknown option "foo"`},
		{"tmpfs size", func(in *Input) { in.HostConfig.Tmpfs = map[string]string{"/x": "size=1x"} }, `invalid option "size=1x"`},
		{"device", func(in *Input) { in.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/none"}} }, "--device /dev/none"},
		{"device access", func(in *Input) {
			in.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/fuse", CgroupPermissions: "rx"}}
		}, `permissions "rx"`},
		{"device rule", func(in *Input) { in.HostConfig.DeviceCgroupRules = []string{"c 1 r"} }, "TYPE MAJOR:MINOR ACCESS"},
		{"hostname with host's", func(in *Input) { in.HostConfig.UTSMode = "host"; in.Config.Hostname = "x" }, "--uts host"},
		{"long hostname", func(in *Input) { in.Config.Hostname = strings.Repeat("x", 65) }, "at most 64"},
		{"pid mode", func(in *Input) { in.HostConfig.PidMode = "foo" }, `invalid --pid "foo"`},
		{"container not running", func(in *Input) { in.HostConfig.PidMode = "container:a" }, "does not run"},
		{"id outside of range", func(in *Input) { in.User.UID = 70000 }, "id 70000 does not exist in the container"},
		{"init", func(in *Input) { in.HostConfig.Init = ptr(true) }, "--init is not supported"},
		{"gpus", func(in *Input) { in.HostConfig.DeviceRequests = []container.DeviceRequest{{Count: -1}} }, "--gpus"},
		{"oom score", func(in *Input) { in.HostConfig.OomScoreAdj = 1001 }, "between -1000 and 1000"},
		{"apparmor", func(in *Input) { in.HostConfig.SecurityOpt = []string{"apparmor=x"} }, "AppArmor is not enabled"},
		{"seccomp text", func(in *Input) { in.HostConfig.SecurityOpt = []string{"seccomp=/no/json"} }, "read the seccomp profile"},
		{"seccomp action", func(in *Input) { in.HostConfig.SecurityOpt = []string{`seccomp={"defaultAction":"SCMP_ACT_WHAT"}`} }, "SCMP_ACT_WHAT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := testInput()
			c.change(&in)
			_, err := Build(in)
			if err == nil {
				t.Fatalf("no error, want %q", c.want)
			}
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%v: not of class invalid argument", err)
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q", err, c.want)
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	in := testInput()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Build(in); err != nil {
			b.Fatal(err)
		}
	}
}

// TestHostsDevices has a mount that takes the place of several of berth's own.
func TestHostsDevices(t *testing.T) {
	in := testInput()
	in.HostConfig.Binds = []string{"/dev:/dev"}
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Mounts {
		if strings.HasPrefix(m.Destination, "/dev") && m.Source != "/dev" {
			t.Errorf("%s is mounted at %s besides the host's /dev", m.Type, m.Destination)
		}
	}
}
