// Package hostinfo reads from the running machine what a spec depends on.
//
// Level: L1.
// Owns: where each fact of spec.Host is found.
// May import: spec, internal/linux.
// Must not know: requests, images, containers.
package hostinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"berth/internal/linux"
	"berth/spec"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxDevices bounds what is listed below a directory of devices.
const maxDevices = 10_000

// fixed is what does not change while the machine runs: it is asked for once.
var fixed = sync.OnceValues(readFixed)

// Read asks the machine. Processors, memory nodes and the host's name are
// those of now.
func Read() (spec.Host, error) {
	h, err := fixed()
	if err != nil {
		return h, err
	}
	if h.Hostname, err = os.Hostname(); err != nil {
		return h, err
	}
	// Missing in some containers: then it is unknown, and the kernel answers
	// when a limit is set.
	h.CPUSet = firstOf("/sys/fs/cgroup/cpuset.cpus.effective", "/sys/fs/cgroup/cpuset/cpuset.effective_cpus", "/sys/devices/system/cpu/online")
	h.MemoryNodes = firstOf("/sys/fs/cgroup/cpuset.mems.effective", "/sys/fs/cgroup/cpuset/cpuset.effective_mems", "/sys/devices/system/node/has_memory")
	h.CPUs = spec.CountSet(h.CPUSet)
	if h.CPUs == 0 {
		h.CPUs = runtime.NumCPU()
	}
	return h, nil
}

func readFixed() (spec.Host, error) {
	h := spec.Host{Arch: runtime.GOARCH, Devices: Devices}
	var err error
	if h.Kernel.Major, h.Kernel.Minor, err = linux.KernelRelease(); err != nil {
		return h, err
	}
	if h.CgroupV2, err = linux.IsCgroup2("/sys/fs/cgroup"); err != nil {
		return h, err
	}
	if h.Capabilities, err = boundingSet(); err != nil {
		return h, err
	}
	h.SwapLimit = swapLimit(h.CgroupV2)
	h.Memory = memTotal()
	_, err = os.Stat("/dev/mqueue")
	h.MessageQueues = err == nil
	h.AppArmor = firstOf("/sys/module/apparmor/parameters/enabled") == "Y"
	h.SELinux = firstOf("/sys/fs/selinux/enforce") != ""
	// Moments of thermal throttling tell what other programs compute.
	h.Masked, err = filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle")
	return h, err
}

// firstOf returns the text of the first file that can be read.
func firstOf(files ...string) string {
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	return ""
}

// swapLimit looks for the file that a limit is written to. The root cgroup of
// v2 has none; there every kernel with swap limits it (Linux 6.1).
func swapLimit(v2 bool) bool {
	file := "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
	if v2 {
		file = "/proc/swaps"
	}
	_, err := os.Stat(file)
	return err == nil
}

func memTotal() int64 {
	for line := range strings.Lines(firstOf("/proc/meminfo")) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemTotal:" {
			kB, err := strconv.ParseInt(f[1], 10, 53)
			if err != nil {
				return 0
			}
			return kB << 10
		}
	}
	return 0
}

// boundingSet names the capabilities that this process could give away.
func boundingSet() ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		hex, ok := strings.CutPrefix(line, "CapBnd:")
		if !ok {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read the bounding set of capabilities: %w", err)
		}
		return spec.CapabilitiesOf(set), nil
	}
	return nil, errors.New("/proc/self/status does not tell the bounding set of capabilities")
}

// Devices tells the device nodes at a path, which may be a symbolic link, or
// all below a directory. Their paths start with the path asked for.
func Devices(path string) ([]specs.LinuxDevice, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if d, ok := linux.DeviceOf(info); ok {
		return []specs.LinuxDevice{node(path, d)}, nil
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a device", path)
	}
	var found []specs.LinuxDevice
	err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && p == path:
			return err
		case err != nil || e.Type()&fs.ModeDevice == 0:
			return nil // gone meanwhile, or not a device
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // the node went away between the two calls
		}
		if d, ok := linux.DeviceOf(info); ok {
			found = append(found, node(p, d))
		}
		if len(found) > maxDevices {
			return fmt.Errorf("more than %d devices", maxDevices)
		}
		return nil
	})
	return found, err
}

func node(path string, d linux.Device) specs.LinuxDevice {
	kind := "c"
	if d.Block {
		kind = "b"
	}
	return specs.LinuxDevice{
		Path: path, Type: kind, Major: int64(d.Major), Minor: int64(d.Minor),
		FileMode: &d.Mode, UID: &d.UID, GID: &d.GID,
	}
}
