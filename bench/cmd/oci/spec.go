package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hostIDs is where the ids of the variant with a user namespace start.
const hostIDs = 100000

// memoryLimit is that of every container but the ones that look for the
// smallest possible one.
const memoryLimit = 256 << 20

// kernelMounts are Docker's, in its order.
var kernelMounts = []specs.Mount{
	{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
	{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
	{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
	{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
	{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
	{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}},
}

// masked and readonly are Docker's.
var (
	masked = []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
	readonly = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// capabilities are Docker's.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// deviceRules are Docker's defaults for a container without devices of its own.
func deviceRules() []specs.LinuxDeviceCgroup {
	n := func(i int64) *int64 { return &i }
	return []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "b", Access: "m"},
		{Allow: true, Type: "c", Major: n(1), Minor: n(5), Access: "rwm"},
		{Allow: true, Type: "c", Major: n(1), Minor: n(3), Access: "rwm"},
		{Allow: true, Type: "c", Major: n(1), Minor: n(9), Access: "rwm"},
		{Allow: true, Type: "c", Major: n(1), Minor: n(8), Access: "rwm"},
		{Allow: true, Type: "c", Major: n(5), Minor: n(0), Access: "rwm"},
		{Allow: true, Type: "c", Major: n(5), Minor: n(1), Access: "rwm"},
	}
}

// variant is what differs between the bundles that are measured.
type variant struct {
	userns bool
	args   []string
	memory int64
	cgroup string // absolute
}

// newSpec is what dockerd gives its runtime for `docker run --memory 256m --cpus 1
// --pids-limit 4096 busybox`, without what comes from a daemon's own
// directories and without hooks: all runtimes get this document.
func newSpec(rootfs string, v variant) (*specs.Spec, error) {
	quota, period, shares, pids := int64(100000), uint64(100000), uint64(1024), int64(4096)
	spec := &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			Args: v.args, Env: []string{"PATH=/bin", "HOSTNAME=bench"}, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities},
		},
		Root:     &specs.Root{Path: rootfs},
		Hostname: "bench",
		Mounts:   kernelMounts,
		Linux: &specs.Linux{
			Resources: &specs.LinuxResources{
				Devices: deviceRules(),
				Memory:  &specs.LinuxMemory{Limit: &v.memory},
				CPU:     &specs.LinuxCPU{Quota: &quota, Period: &period, Shares: &shares},
				Pids:    &specs.LinuxPids{Limit: &pids},
			},
			CgroupsPath: v.cgroup,
			MaskedPaths: masked, ReadonlyPaths: readonly,
		},
	}
	kinds := []specs.LinuxNamespaceType{
		specs.MountNamespace, specs.NetworkNamespace, specs.UTSNamespace, specs.PIDNamespace, specs.IPCNamespace, specs.CgroupNamespace,
	}
	if v.userns {
		kinds = append(kinds, specs.UserNamespace)
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: hostIDs, Size: 65536}}
		spec.Linux.UIDMappings, spec.Linux.GIDMappings = ids, ids
	}
	for _, kind := range kinds {
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
	}
	profile, err := seccomp.GetDefaultProfile(spec)
	if err != nil {
		return nil, err
	}
	spec.Linux.Seccomp = profile
	return spec, nil
}

// writeRootfs makes a root file system that holds busybox, for a user namespace or not.
func writeRootfs(root, busybox string, userns bool) error {
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	for _, name := range []string{"bin", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), program, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"true", "sleep", "sh"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			return err
		}
	}
	if !userns {
		return nil
	}
	return filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, hostIDs, hostIDs)
	})
}

// writeConfig makes the bundle dir: its config.json.
func writeConfig(dir, rootfs string, v variant) error {
	spec, err := newSpec(rootfs, v)
	if err != nil {
		return err
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), b, 0o644)
}
