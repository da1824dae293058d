package spec

import (
	"slices"
	"strings"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultCapabilities are Docker's.
func defaultCapabilities() []string {
	return []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}

// setCapabilities gives root the set in full and others its bound only, which
// set-user-id programs can reach. Nothing is inheritable or ambient: files'
// inheritable sets would make it permitted (CVE-2022-24769).
func (b *builder) setCapabilities() error {
	caps, err := b.capabilities()
	if err != nil {
		return err
	}
	b.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps}
	if b.User.UID == 0 {
		b.spec.Process.Capabilities.Effective = caps
		b.spec.Process.Capabilities.Permitted = caps
	}
	return nil
}

func (b *builder) capabilities() ([]string, error) {
	h := b.HostConfig
	add, err := capabilityNames("--cap-add", h.CapAdd)
	if err != nil {
		return nil, err
	}
	drop, err := capabilityNames("--cap-drop", h.CapDrop)
	if err != nil {
		return nil, err
	}
	host := b.Host.Capabilities
	if host == nil {
		host = linux.Capabilities()
	}
	for _, c := range add {
		if c != "ALL" && !slices.Contains(host, c) {
			return nil, invalid("--cap-add %s: the capability is not available on this machine", c)
		}
	}
	if h.Privileged {
		return slices.Clone(host), nil
	}
	set := defaultCapabilities()
	switch {
	case slices.Contains(add, "ALL"):
		set = linux.Capabilities()
	case slices.Contains(drop, "ALL"):
		set = nil
	}
	set = slices.DeleteFunc(set, func(c string) bool { return slices.Contains(drop, c) })
	for _, c := range add {
		if c != "ALL" && !slices.Contains(set, c) && !slices.Contains(drop, c) {
			set = append(set, c)
		}
	}
	// What berth does not have it cannot give.
	return slices.DeleteFunc(set, func(c string) bool { return !slices.Contains(host, c) }), nil
}

// capabilityNames brings names into the kernel's form: "net_admin" is CAP_NET_ADMIN.
func capabilityNames(option string, names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		c := strings.ToUpper(name)
		if c != "ALL" && c != "CAP_ALL" && !strings.HasPrefix(c, "CAP_") {
			c = "CAP_" + c
		}
		if c == "CAP_ALL" {
			c = "ALL"
		}
		if c != "ALL" && !slices.Contains(linux.Capabilities(), c) {
			return nil, invalid("%s: unknown capability %q", option, name)
		}
		out = append(out, c)
	}
	return out, nil
}

// CapabilitiesOf names the capabilities of a set as the kernel prints it.
func CapabilitiesOf(set uint64) []string {
	names := []string{}
	for i, c := range linux.Capabilities() {
		if set&(1<<i) != 0 {
			names = append(names, c)
		}
	}
	return names
}
