package spec

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// setDevices gives the container its device nodes and says which it may use.
// The runtime makes those that every container has (null, zero, full, random,
// urandom, tty, ptmx, console) itself.
func (b *builder) setDevices() error {
	l := b.spec.Linux
	if b.HostConfig.Privileged {
		l.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
		nodes, err := b.hostDevices("/dev")
		if err != nil {
			return err
		}
		l.Devices = slices.DeleteFunc(nodes, func(d specs.LinuxDevice) bool {
			return strings.HasPrefix(d.Path, "/dev/pts/") || strings.HasPrefix(d.Path, "/dev/shm/") ||
				strings.HasPrefix(d.Path, "/dev/mqueue/") || d.Path == "/dev/console" || d.Path == "/dev/ptmx"
		})
	} else {
		l.Resources.Devices = defaultDeviceRules()
	}
	for _, m := range b.HostConfig.Devices {
		if err := b.addDevice(m); err != nil {
			return err
		}
	}
	for _, r := range b.HostConfig.DeviceCgroupRules {
		rule, err := parseDeviceRule(r)
		if err != nil {
			return err
		}
		l.Resources.Devices = append(l.Resources.Devices, rule)
	}
	return nil
}

// defaultDeviceRules deny all but the nodes of every container; any node may
// be made, which grants nothing.
func defaultDeviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "b", Access: "m"},
	}
	const all = -1
	for _, n := range [][2]int64{
		{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, // null zero full random urandom
		{5, 0}, {5, 1}, {5, 2}, // tty console ptmx
		{136, all}, // terminals
	} {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &n[0], Access: "rwm"}
		if n[1] != all {
			rule.Minor = &n[1]
		}
		rules = append(rules, rule)
	}
	return rules
}

func (b *builder) hostDevices(p string) ([]specs.LinuxDevice, error) {
	if b.Host.Devices == nil {
		return nil, nil
	}
	return b.Host.Devices(p)
}

// addDevice gives one --device: a node, or all below a directory.
func (b *builder) addDevice(m container.DeviceMapping) error {
	if !path.IsAbs(m.PathOnHost) {
		return invalid("--device %q: not an absolute path", m.PathOnHost)
	}
	inside := m.PathInContainer
	if inside == "" {
		inside = m.PathOnHost
	}
	if !strings.HasPrefix(path.Clean(inside), "/dev/") || strings.ContainsRune(inside, 0) {
		return invalid("--device %s: %q does not lie below /dev: only there can the container have devices", m.PathOnHost, inside)
	}
	access := m.CgroupPermissions
	if access == "" {
		access = "rwm"
	}
	if !validAccess(access) {
		return invalid("--device %s: permissions %q are not a choice of r, w and m", m.PathOnHost, access)
	}
	nodes, err := b.hostDevices(path.Clean(m.PathOnHost))
	if err != nil {
		return invalid("--device %s: %v", m.PathOnHost, err)
	}
	if len(nodes) == 0 {
		return invalid("--device %s: no device is there", m.PathOnHost)
	}
	l := b.spec.Linux
	for _, d := range nodes {
		d.Path = path.Join(inside, strings.TrimPrefix(d.Path, path.Clean(m.PathOnHost)))
		l.Devices = slices.DeleteFunc(l.Devices, func(have specs.LinuxDevice) bool { return have.Path == d.Path })
		l.Devices = append(l.Devices, d)
		l.Resources.Devices = append(l.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: access,
		})
	}
	return nil
}

func validAccess(s string) bool {
	if s == "" || len(s) > 3 {
		return false
	}
	for i, c := range s {
		if !strings.ContainsRune("rwm", c) || strings.ContainsRune(s[:i], c) {
			return false
		}
	}
	return true
}

// parseDeviceRule reads --device-cgroup-rule, "c 13:* rwm".
func parseDeviceRule(s string) (specs.LinuxDeviceCgroup, error) {
	bad := invalid("--device-cgroup-rule %q is not TYPE MAJOR:MINOR ACCESS, as in \"c 13:* rwm\"", s)
	parts := strings.Split(s, " ")
	if len(parts) != 3 || !slices.Contains([]string{"a", "b", "c"}, parts[0]) || !validAccess(parts[2]) {
		return specs.LinuxDeviceCgroup{}, bad
	}
	major, minor, ok := strings.Cut(parts[1], ":")
	if !ok {
		return specs.LinuxDeviceCgroup{}, bad
	}
	rule := specs.LinuxDeviceCgroup{Allow: true, Type: parts[0], Access: parts[2]}
	for _, n := range []struct {
		text string
		to   **int64
	}{{major, &rule.Major}, {minor, &rule.Minor}} {
		if n.text == "*" {
			continue
		}
		v, err := strconv.ParseUint(n.text, 10, 32)
		if err != nil {
			return specs.LinuxDeviceCgroup{}, bad
		}
		i := int64(v)
		*n.to = &i
	}
	return rule, nil
}
