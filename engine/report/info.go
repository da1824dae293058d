package report

import (
	"os"
	"runtime"
	"time"

	"berth/ociruntime/cgroups"
	"berth/spec"

	"github.com/moby/moby/api/types/system"
)

// Version tells what a daemon of this version is.
func Version(version string) (system.VersionResponse, error) {
	kernel, err := KernelRelease()
	if err != nil {
		return system.VersionResponse{}, err
	}
	return system.VersionResponse{
		Platform: system.PlatformInfo{Name: "berth"},
		Version:  version, Os: "linux", Arch: runtime.GOARCH,
		GoVersion: runtime.Version(), KernelVersion: kernel,
		Components: []system.ComponentVersion{{Name: "Engine", Version: version, Details: map[string]string{
			"Os": "linux", "Arch": runtime.GOARCH, "GoVersion": runtime.Version(), "KernelVersion": kernel,
		}}},
	}, nil
}

// Info tells about the machine and what a daemon of this version does on it.
// What it has of images, containers and listeners is the engine's to add.
func Info(version string, host spec.Host) (system.Info, error) {
	kernel, err := KernelRelease()
	if err != nil {
		return system.Info{}, err
	}
	name, err := os.Hostname()
	if err != nil {
		return system.Info{}, err
	}
	layout, err := cgroups.Detect()
	if err != nil {
		return system.Info{}, err
	}
	has := map[string]bool{}
	for _, c := range layout.Controllers() {
		has[c] = true
	}
	info := system.Info{
		ID: name, Name: name, Driver: "overlayfs",
		MemoryLimit: has["memory"], SwapLimit: layout.SwapAccounting(), PidsLimit: has["pids"],
		CPUCfsPeriod: has["cpu"], CPUCfsQuota: has["cpu"], CPUShares: has["cpu"], CPUSet: has["cpuset"],
		NFd: OpenFiles(), NGoroutines: runtime.NumGoroutine(),
		SystemTime: time.Now().Format(time.RFC3339Nano), LoggingDriver: "json-file",
		CgroupDriver: "cgroupfs", CgroupVersion: "1",
		KernelVersion: kernel, OperatingSystem: OSName(), OSType: "linux", Architecture: Machine(),
		NCPU: host.CPUs, MemTotal: host.Memory, ServerVersion: version,
		Runtimes: map[string]system.RuntimeWithStatus{}, DefaultRuntime: "berth",
		LiveRestoreEnabled: true,
		SecurityOptions:    []string{"name=seccomp,profile=builtin", "name=cgroupns", "name=userns"},
		Plugins:            system.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge", "host", "ipvlan", "macvlan", "null"}, Log: []string{"json-file", "none"}},
	}
	if host.CgroupV2 {
		info.CgroupVersion = "2"
	}
	return info, nil
}
