package report

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"berth/container/proctable"
)

// OpenFiles counts this process's open files; 0 if /proc does not tell.
func OpenFiles() int {
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(os.Getpid()) + "/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// Machine is the architecture as uname(2) calls it.
func Machine() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

// KernelRelease is what uname -r prints.
func KernelRelease() (string, error) {
	s, err := proctable.ReadShort("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(s), err
}

// OSName is the distribution's name for itself.
func OSName() string {
	data, err := proctable.ReadShort("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(data) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return "Linux"
}
