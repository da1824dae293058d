package facts

import (
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Unlabel takes linux.mountLabel out of a spec where the kernel has no SELinux,
// and says so: a bundle made on a host with it runs on one without, where nothing
// would look at the label.
func Unlabel(s *specs.Spec) (warnings []string) {
	if s.Linux == nil || s.Linux.MountLabel == "" {
		return nil
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil || strings.Contains(string(known), "selinuxfs") { // cannot tell: the kernel will
		return nil
	}
	label := s.Linux.MountLabel
	s.Linux.MountLabel = ""
	return []string{"linux.mountLabel " + label + " is left out: this kernel has no SELinux"}
}
