package report

import "github.com/moby/moby/api/types/system"

// Rootless tells what the daemon of an ordinary user cannot do, if it is one's.
func Rootless(info *system.Info, rootless bool) {
	if !rootless {
		return
	}
	info.SecurityOptions = []string{"name=seccomp,profile=builtin", "name=cgroupns", "name=rootless"}
	info.CgroupDriver, info.MemoryLimit, info.SwapLimit, info.PidsLimit = "none", false, false, false
	info.CPUCfsPeriod, info.CPUCfsQuota, info.CPUShares, info.CPUSet = false, false, false, false
}
