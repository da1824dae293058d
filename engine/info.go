package engine

import (
	"context"
	"os"
	"runtime"
	"time"

	"berth/container"
	"berth/engine/report"
	"berth/ociruntime/cgroups"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/system"
)

// Events returns remembered events and a channel of those that follow.
func (e *Engine) Events(since time.Time) (past []events.Message, next <-chan events.Message, stop func()) {
	return e.bus.Listen(since)
}

// Version tells what this daemon is.
func (e *Engine) Version(context.Context) (system.VersionResponse, error) {
	kernel, err := report.KernelRelease()
	if err != nil {
		return system.VersionResponse{}, err
	}
	return system.VersionResponse{
		Platform: system.PlatformInfo{Name: "berth"},
		Version:  e.Config.Version, Os: "linux", Arch: runtime.GOARCH,
		GoVersion: runtime.Version(), KernelVersion: kernel,
		Components: []system.ComponentVersion{{Name: "Engine", Version: e.Config.Version, Details: map[string]string{
			"Os": "linux", "Arch": runtime.GOARCH, "GoVersion": runtime.Version(), "KernelVersion": kernel,
		}}},
	}, nil
}

// Info tells about the daemon and the machine.
func (e *Engine) Info(context.Context) (system.Info, error) {
	kernel, err := report.KernelRelease()
	if err != nil {
		return system.Info{}, err
	}
	host, err := e.Host()
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
	images, err := e.Images.List()
	if err != nil {
		return system.Info{}, err
	}
	has := map[string]bool{}
	for _, c := range layout.Controllers() {
		has[c] = true
	}
	info := system.Info{
		ID: name, Name: name, Images: len(images), Driver: "overlayfs",
		MemoryLimit: has["memory"], SwapLimit: layout.SwapAccounting(), PidsLimit: has["pids"],
		CPUCfsPeriod: has["cpu"], CPUCfsQuota: has["cpu"], CPUShares: has["cpu"], CPUSet: has["cpuset"],
		NFd: report.OpenFiles(), NGoroutines: runtime.NumGoroutine(), NEventsListener: e.bus.Listeners(),
		SystemTime: time.Now().Format(time.RFC3339Nano), LoggingDriver: "json-file",
		CgroupDriver: "cgroupfs", CgroupVersion: "1",
		KernelVersion: kernel, OperatingSystem: report.OSName(), OSType: "linux", Architecture: report.Machine(),
		NCPU: host.CPUs, MemTotal: host.Memory, DockerRootDir: e.Root, ServerVersion: e.Config.Version,
		Runtimes: map[string]system.RuntimeWithStatus{}, DefaultRuntime: "berth",
		LiveRestoreEnabled: true,
		SecurityOptions:    []string{"name=seccomp,profile=builtin", "name=cgroupns", "name=userns"},
		Plugins:            system.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge", "host", "ipvlan", "macvlan", "null"}, Log: []string{"json-file", "none"}},
	}
	report.Rootless(&info, e.Rootless)
	if host.CgroupV2 {
		info.CgroupVersion = "2"
	}
	for _, c := range e.records.List() {
		info.Containers++
		switch c.Status() {
		case container.Running:
			info.ContainersRunning++
		case container.Paused:
			info.ContainersPaused++
		default:
			info.ContainersStopped++
		}
	}
	return info, nil
}
