package bundle

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"berth/ociruntime/plan/number"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (c *checker) linux(s *specs.Spec) error {
	for _, check := range []func(*specs.Spec) error{
		checkNamespaces, checkUserNamespace, checkTimeNamespace, checkSysctls, checkDevices, checkDeviceRules,
		checkNetDevices, checkSeccomp, checkPaths, checkIntelRdt, checkMemoryPolicy, checkPersonality,
	} {
		if err := check(s); err != nil {
			return err
		}
	}
	return nil
}

func checkNamespaces(s *specs.Spec) error {
	for i, n := range s.Linux.Namespaces {
		switch {
		case !slices.Contains(namespaces[:], n.Type):
			return fmt.Errorf("linux.namespaces[%d].type %q is unknown: write %s", i, n.Type, choices(namespaces[:]))
		case n.Path != "" && !filepath.IsAbs(n.Path):
			return fmt.Errorf("linux.namespaces[%d] (%s): path %q is not absolute", i, n.Type, n.Path)
		case slices.ContainsFunc(s.Linux.Namespaces[:i], func(o specs.LinuxNamespace) bool { return o.Type == n.Type }):
			return fmt.Errorf("linux.namespaces[%d].type %s is there twice", i, n.Type)
		}
	}
	return nil
}

func checkUserNamespace(s *specs.Spec) error {
	uids, gids := s.Linux.UIDMappings, s.Linux.GIDMappings
	if err := checkMappings("linux.uidMappings", uids); err != nil {
		return err
	}
	if err := checkMappings("linux.gidMappings", gids); err != nil {
		return err
	}
	user, has := namespaceOf(s, specs.UserNamespace)
	switch {
	case !has && len(uids)+len(gids) > 0:
		return errors.New("linux.uidMappings and linux.gidMappings need a user namespace: add one to linux.namespaces")
	case has && user.Path == "" && (len(uids) == 0 || len(gids) == 0):
		return errors.New("a new user namespace needs linux.uidMappings and linux.gidMappings: map at least id 0")
	}
	return nil
}

func checkTimeNamespace(s *specs.Spec) error {
	if len(s.Linux.TimeOffsets) == 0 {
		return nil
	}
	time, has := namespaceOf(s, specs.TimeNamespace)
	switch {
	case !has:
		return errors.New("linux.timeOffsets needs a time namespace: add one to linux.namespaces")
	case time.Path != "":
		return errors.New("linux.timeOffsets cannot be set in a time namespace that is there already: leave out its path or the offsets")
	}
	for clock, o := range s.Linux.TimeOffsets {
		switch {
		case clock != "monotonic" && clock != "boottime":
			return fmt.Errorf("linux.timeOffsets: clock %q is unknown: write monotonic or boottime", clock)
		case o.Nanosecs >= 1e9:
			return fmt.Errorf("linux.timeOffsets.%s.nanosecs %d is a second or more", clock, o.Nanosecs)
		}
	}
	return nil
}

func checkDevices(s *specs.Spec) error {
	for i, d := range s.Linux.Devices {
		switch {
		case d.Path == "":
			return fmt.Errorf("linux.devices[%d].path is missing", i)
		case !filepath.IsAbs(d.Path):
			return fmt.Errorf("linux.devices[%d].path %q is not absolute", i, d.Path)
		}
		switch d.Type {
		case "b", "c", "u":
			if d.Major < 0 || d.Major >= 1<<12 || d.Minor < 0 || d.Minor >= 1<<20 {
				return fmt.Errorf("linux.devices[%d] (%s): %d:%d is no number of a device", i, d.Path, d.Major, d.Minor)
			}
		case "p":
		default:
			return fmt.Errorf("linux.devices[%d] (%s): type %q is unknown: write b, c, u or p", i, d.Path, d.Type)
		}
	}
	return nil
}

func checkDeviceRules(s *specs.Spec) error {
	if s.Linux.Resources == nil {
		return nil
	}
	for i, r := range s.Linux.Resources.Devices {
		switch r.Type {
		case "", "a", "b", "c":
		default:
			return fmt.Errorf("linux.resources.devices[%d].type %q is unknown: write a, b or c", i, r.Type)
		}
		if strings.Trim(r.Access, "rwm") != "" {
			return fmt.Errorf("linux.resources.devices[%d].access %q is unknown: write letters of rwm", i, r.Access)
		}
	}
	return nil
}

func checkNetDevices(s *specs.Spec) error {
	if len(s.Linux.NetDevices) == 0 {
		return nil
	}
	if !hasNamespace(s, specs.NetworkNamespace) {
		return errors.New("linux.netDevices needs a network namespace of the container's own: add one to linux.namespaces")
	}
	inside := map[string]bool{}
	for name, d := range s.Linux.NetDevices {
		for _, n := range []string{name, d.Name} {
			if n != "" && !isDeviceName(n) || n == "" && n == name {
				return fmt.Errorf("linux.netDevices: %q is no name of a network device", n)
			}
		}
		if d.Name == "" {
			d.Name = name
		}
		if inside[d.Name] {
			return fmt.Errorf("linux.netDevices: two devices are to be called %q", d.Name)
		}
		inside[d.Name] = true
	}
	return nil
}

// isDeviceName is the kernel's dev_valid_name.
func isDeviceName(name string) bool {
	const longest = 15
	return len(name) <= longest && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t\n\v\f\r")
}

func checkPaths(s *specs.Spec) error {
	l := s.Linux
	if len(l.MaskedPaths)+len(l.ReadonlyPaths) > 0 && !hasNamespace(s, specs.MountNamespace) {
		return errors.New("linux.maskedPaths and linux.readonlyPaths need a mount namespace of the container's own: add one to linux.namespaces")
	}
	for _, paths := range []struct {
		property string
		values   []string
	}{{"maskedPaths", l.MaskedPaths}, {"readonlyPaths", l.ReadonlyPaths}} {
		for i, p := range paths.values {
			if !filepath.IsAbs(p) {
				return fmt.Errorf("linux.%s[%d] %q is not absolute", paths.property, i, p)
			}
		}
	}
	if !slices.Contains(propagations[:], l.RootfsPropagation) {
		return fmt.Errorf("linux.rootfsPropagation %q is unknown: write %s", l.RootfsPropagation, choices(propagations[1:]))
	}
	return nil
}

func checkIntelRdt(s *specs.Spec) error {
	r := s.Linux.IntelRdt
	if r == nil {
		return nil
	}
	if r.ClosID == "." || r.ClosID == ".." || len(r.ClosID) > 1 && strings.Contains(r.ClosID, "/") || strings.Contains(r.ClosID, "\n") {
		return fmt.Errorf("linux.intelRdt.closID %q is no name of a directory in resctrl", r.ClosID)
	}
	for _, line := range append(slices.Clone(r.Schemata), r.L3CacheSchema, r.MemBwSchema) {
		if line != "" && (!strings.Contains(line, ":") || !strings.Contains(line, "=")) {
			return fmt.Errorf("linux.intelRdt: %q is no schema such as L3:0=ff", line)
		}
	}
	return nil
}

func checkMemoryPolicy(s *specs.Spec) error {
	m := s.Linux.MemoryPolicy
	if m == nil {
		return nil
	}
	if !slices.Contains(number.MemoryPolicies(), m.Mode) {
		return fmt.Errorf("linux.memoryPolicy.mode %q is unknown: write %s", m.Mode, choices(slices.Sorted(slices.Values(number.MemoryPolicies()))))
	}
	for _, f := range m.Flags {
		if !slices.Contains(number.MemoryPolicyFlags(), f) {
			return fmt.Errorf("linux.memoryPolicy.flags: %q is unknown: write %s", f, choices(number.MemoryPolicyFlags()))
		}
	}
	if m.Nodes != "" && !isList(m.Nodes) {
		return fmt.Errorf("linux.memoryPolicy.nodes %q is no list of nodes such as 0-1,3", m.Nodes)
	}
	switch m.Mode {
	case specs.MpolDefault, specs.MpolLocal:
		if m.Nodes != "" {
			return fmt.Errorf("linux.memoryPolicy: %s takes no nodes", m.Mode)
		}
	case specs.MpolPreferred:
	default:
		if m.Nodes == "" {
			return fmt.Errorf("linux.memoryPolicy: %s needs nodes", m.Mode)
		}
	}
	return nil
}

func checkPersonality(s *specs.Spec) error {
	p := s.Linux.Personality
	switch {
	case p == nil:
	case p.Domain != specs.PerLinux && p.Domain != specs.PerLinux32:
		return fmt.Errorf("linux.personality.domain %q is unknown: write LINUX or LINUX32", p.Domain)
	case len(p.Flags) > 0:
		return fmt.Errorf("linux.personality.flags: %q is unknown: there are none yet", p.Flags[0])
	}
	return nil
}
