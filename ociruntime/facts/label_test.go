package facts

import (
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestUnlabel(t *testing.T) {
	const label = "system_u:object_r:container_file_t:s0"
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	s := &specs.Spec{Linux: &specs.Linux{MountLabel: label}}
	warnings := Unlabel(s)
	if strings.Contains(string(known), "selinuxfs") {
		if s.Linux.MountLabel != label || warnings != nil {
			t.Errorf("with SELinux: label %q, warnings %q", s.Linux.MountLabel, warnings)
		}
		return
	}
	if want := []string{"linux.mountLabel " + label + " is left out: this kernel has no SELinux"}; s.Linux.MountLabel != "" || !slices.Equal(warnings, want) {
		t.Errorf("without SELinux: label %q, warnings %q", s.Linux.MountLabel, warnings)
	}
	if w := Unlabel(s); w != nil {
		t.Errorf("without a label: %q", w)
	}
}
