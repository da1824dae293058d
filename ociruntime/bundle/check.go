package bundle

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// checker checks one document. Its methods return what is wrong, with the
// property's name first; what can be passed over becomes a warning.
type checker struct {
	warnings []string
}

func (c *checker) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

func (c *checker) spec(s *specs.Spec) error {
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	for _, check := range []func(*specs.Spec) error{
		checkVersion, checkRoot, c.specProcess, checkNames, c.mounts, checkHooks, checkAnnotations, c.linux,
	} {
		if err := check(s); err != nil {
			return err
		}
	}
	return nil
}

// The newest minor version of the specification that is understood.
const newestMinor = 3

func checkVersion(s *specs.Spec) error {
	if s.Version == "" {
		return errors.New(`ociVersion is missing: write "1.0.0"`)
	}
	number, _, _ := strings.Cut(s.Version, "-")
	parts := strings.Split(number, ".")
	var n [3]uint64
	ok := len(parts) == len(n)
	for i := 0; ok && i < len(n); i++ {
		var err error
		n[i], err = strconv.ParseUint(parts[i], 10, 16)
		ok = err == nil && strconv.FormatUint(n[i], 10) == parts[i]
	}
	switch {
	case !ok:
		return fmt.Errorf("ociVersion %q is no version: write one such as 1.0.2", s.Version)
	case n[0] != 1 || n[1] > newestMinor:
		return fmt.Errorf("ociVersion %s is not supported: versions 1.0 to 1.%d are", s.Version, newestMinor)
	}
	return nil
}

func checkRoot(s *specs.Spec) error {
	switch {
	case s.Root == nil:
		return errors.New(`root is missing: write "root": {"path": "rootfs"}`)
	case s.Root.Path == "":
		return errors.New("root.path is missing: name the directory of the root file system")
	}
	return nil
}

func (c *checker) specProcess(s *specs.Spec) error {
	if s.Process == nil {
		return errors.New("process is missing: it says what to run")
	}
	return c.process(s.Process)
}

// maxName is the kernel's bound of host and domain names (sethostname(2)).
const maxName = 64

func checkNames(s *specs.Spec) error {
	for _, n := range []struct{ property, value string }{{"hostname", s.Hostname}, {"domainname", s.Domainname}} {
		switch {
		case n.value == "":
		case !hasNamespace(s, specs.UTSNamespace):
			return fmt.Errorf("%s needs a uts namespace of the container's own: add one to linux.namespaces", n.property)
		case len(n.value) > maxName:
			return fmt.Errorf("%s has %d bytes: the kernel takes at most %d", n.property, len(n.value), maxName)
		}
	}
	return nil
}

// isBind says whether a mount shows what lies at its source.
func isBind(m *specs.Mount) bool {
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}

func (c *checker) mounts(s *specs.Spec) error {
	for i := range s.Mounts {
		m := &s.Mounts[i]
		switch {
		case m.Destination == "":
			return fmt.Errorf("mounts[%d].destination is missing", i)
		case m.Source == "" && isBind(m):
			return fmt.Errorf("mounts[%d] (%s) is a bind without a source: name the file or directory to show", i, m.Destination)
		case len(m.UIDMappings) > 0 && len(m.GIDMappings) == 0, len(m.UIDMappings) == 0 && len(m.GIDMappings) > 0:
			return fmt.Errorf("mounts[%d] (%s) has only one of uidMappings and gidMappings: give both", i, m.Destination)
		}
		if !filepath.IsAbs(m.Destination) {
			c.warn("mounts[%d].destination %q is not absolute: it is taken as /%s", i, m.Destination, m.Destination)
			m.Destination = "/" + m.Destination
		}
		for _, maps := range [][]specs.LinuxIDMapping{m.UIDMappings, m.GIDMappings} {
			if err := checkMappings("mappings", maps); err != nil {
				return fmt.Errorf("mounts[%d] (%s): %w", i, m.Destination, err)
			}
		}
	}
	return nil
}

func checkHooks(s *specs.Spec) error {
	if s.Hooks == nil {
		return nil
	}
	for i, hooks := range [...][]specs.Hook{
		s.Hooks.Prestart, //nolint:staticcheck // engines still set it
		s.Hooks.CreateRuntime, s.Hooks.CreateContainer, s.Hooks.StartContainer, s.Hooks.Poststart, s.Hooks.Poststop,
	} {
		for j, h := range hooks {
			switch name := fmt.Sprintf("hooks.%s[%d]", hookNames[i], j); {
			case h.Path == "":
				return fmt.Errorf("%s.path is missing: name the program", name)
			case !filepath.IsAbs(h.Path):
				return fmt.Errorf("%s.path %q is not absolute", name, h.Path)
			case h.Timeout != nil && *h.Timeout <= 0:
				return fmt.Errorf("%s.timeout is %d: give seconds above 0, or leave it out", name, *h.Timeout)
			}
		}
	}
	return nil
}

func checkAnnotations(s *specs.Spec) error {
	if _, ok := s.Annotations[""]; ok {
		return errors.New("annotations has an empty name")
	}
	return nil
}

// hasNamespace says whether the container has a namespace of a kind apart from
// the runtime's: a new one, or another's.
func hasNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	_, ok := namespaceOf(s, kind)
	return ok
}

func namespaceOf(s *specs.Spec, kind specs.LinuxNamespaceType) (specs.LinuxNamespace, bool) {
	for _, n := range s.Linux.Namespaces {
		if n.Type == kind {
			return n, true
		}
	}
	return specs.LinuxNamespace{}, false
}

// maxMappings is how many lines uid_map takes (user_namespaces(7)).
const maxMappings = 340

func checkMappings(property string, maps []specs.LinuxIDMapping) error {
	if len(maps) > maxMappings {
		return fmt.Errorf("%s has %d entries: the kernel takes at most %d", property, len(maps), maxMappings)
	}
	overlap := func(a, b, sizeA, sizeB uint32) bool {
		return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
	}
	for i, m := range maps {
		const ids = 1<<32 - 1 // the last one means "none"
		if m.Size == 0 || uint64(m.ContainerID)+uint64(m.Size) > ids || uint64(m.HostID)+uint64(m.Size) > ids {
			return fmt.Errorf("%s[%d] maps %d ids from %d to %d: the size is 0 or they go beyond the last id", property, i, m.Size, m.ContainerID, m.HostID)
		}
		for j, o := range maps[:i] {
			if overlap(m.ContainerID, o.ContainerID, m.Size, o.Size) || overlap(m.HostID, o.HostID, m.Size, o.Size) {
				return fmt.Errorf("%s[%d] overlaps with %s[%d]: an id may be mapped once", property, i, property, j)
			}
		}
	}
	return nil
}

// choices writes the values that an enumeration has.
func choices[T ~string](values []T) string {
	var b strings.Builder
	for i, v := range values {
		switch {
		case i > 0 && i == len(values)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(v))
	}
	return b.String()
}
