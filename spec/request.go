package spec

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// Mount is a mount that the request or the image asks for.
type Mount struct {
	Type mount.Type // bind, volume or tmpfs
	// Name is a volume's; empty for an anonymous one.
	Name string
	// Source is an absolute path of the host. For a volume the caller of
	// Mounts fills in its directory.
	Source string
	// Target is an absolute, clean path in the container.
	Target string
	// ReadOnly holds for the mounts below the source, too.
	ReadOnly bool
	// NonRecursive leaves the mounts below the source out.
	NonRecursive bool
	Propagation  mount.Propagation
	// NoCopy keeps an empty volume empty; else it gets what the image has at Target.
	NoCopy bool
	// CreateSource asks for a missing bind source to be made, as -v does.
	CreateSource bool
	// Labels and Options are for a volume that has to be created.
	Labels, Options map[string]string
	// TmpfsOptions are mount options, checked.
	TmpfsOptions []string
}

// maxMounts bounds a request: the kernel has 100,000 for all (fs.mount-max).
const maxMounts = 1000

// Mounts lists what a merged configuration asks to have mounted: -v, --mount,
// --tmpfs, then the image's volumes that none of these covers.
func Mounts(cfg container.Config, h *container.HostConfig) ([]Mount, error) {
	mounts := []Mount{}
	add := func(m Mount, err error) error {
		if err != nil {
			return err
		}
		if slices.ContainsFunc(mounts, func(have Mount) bool { return have.Target == m.Target }) {
			return invalid("duplicate mount point %s: give it one mount", m.Target)
		}
		if len(mounts) >= maxMounts {
			return invalid("more than %d mounts", maxMounts)
		}
		mounts = append(mounts, m)
		return nil
	}
	for _, s := range h.Binds {
		if err := add(parseBind(s)); err != nil {
			return nil, err
		}
	}
	for _, m := range h.Mounts {
		if err := add(parseMount(m)); err != nil {
			return nil, err
		}
	}
	for _, target := range slices.Sorted(maps.Keys(h.Tmpfs)) {
		if err := add(parseTmpfs(target, h.Tmpfs[target])); err != nil {
			return nil, err
		}
	}
	for _, volume := range slices.Sorted(maps.Keys(cfg.Volumes)) {
		target, err := cleanTarget(volume)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(mounts, func(m Mount) bool { return m.Target == target }) {
			if err := add(Mount{Type: mount.TypeVolume, Target: target}, nil); err != nil {
				return nil, err
			}
		}
	}
	return mounts, nil
}

func cleanTarget(target string) (string, error) {
	if !path.IsAbs(target) || strings.ContainsRune(target, 0) {
		return "", invalid("invalid mount path %q: it must be absolute", target)
	}
	target = path.Clean(target)
	if target == "/" {
		return "", invalid("invalid mount path %q: the root cannot be mounted over", target)
	}
	return target, nil
}

// parseBind reads Docker's [SOURCE:]TARGET[:OPTIONS].
func parseBind(s string) (Mount, error) {
	m := Mount{Type: mount.TypeVolume}
	parts := strings.Split(s, ":")
	options := ""
	switch len(parts) {
	case 1:
		m.Target = parts[0]
	case 2:
		m.Source, m.Target = parts[0], parts[1]
		if !path.IsAbs(m.Target) { // TARGET:OPTIONS
			return m, invalid("invalid volume %q: %q is not an absolute path", s, m.Target)
		}
	case 3:
		m.Source, m.Target, options = parts[0], parts[1], parts[2]
	default:
		return m, invalid("invalid volume %q: it is [SOURCE:]TARGET[:OPTIONS]", s)
	}
	if len(parts) > 1 && m.Source == "" || strings.ContainsRune(s, 0) {
		return m, invalid("invalid volume %q: the source is empty or has a NUL", s)
	}
	switch {
	case path.IsAbs(m.Source):
		m.Type, m.Source, m.CreateSource = mount.TypeBind, filepath.Clean(m.Source), true
	case m.Source != "":
		if !validVolumeName(m.Source) {
			return m, invalid("invalid volume %q: %q is neither an absolute path nor a volume's name ([a-zA-Z0-9][a-zA-Z0-9_.-]+)", s, m.Source)
		}
		m.Name, m.Source = m.Source, ""
	}
	var err error
	if m.Target, err = cleanTarget(m.Target); err != nil {
		return m, err
	}
	return m, m.setBindOptions(s, options)
}

// setBindOptions reads the third part of -v.
func (m *Mount) setBindOptions(s, options string) error {
	if options == "" {
		return nil
	}
	mode := ""
	for _, o := range strings.Split(options, ",") {
		switch p := mount.Propagation(o); {
		case o == "ro" || o == "rw":
			if mode != "" {
				return invalid("invalid volume %q: ro and rw are both given", s)
			}
			mode, m.ReadOnly = o, o == "ro"
		case o == "nocopy" && m.Type == mount.TypeVolume:
			m.NoCopy = true
		case slices.Contains(mount.Propagations, p):
			if m.Type != mount.TypeBind || m.Propagation != "" {
				return invalid("invalid volume %q: %s is for one bind of a host path", s, o)
			}
			m.Propagation = p
		case o == "z" || o == "Z": // SELinux labels: nothing to do without SELinux, see setSecurity
		case o == "consistent" || o == "cached" || o == "delegated": // Docker Desktop's
		default:
			return invalid("invalid volume %q: unknown option %q", s, o)
		}
	}
	return nil
}

// parseMount reads an entry of --mount.
func parseMount(in mount.Mount) (Mount, error) {
	m := Mount{Type: in.Type, ReadOnly: in.ReadOnly}
	var err error
	if m.Target, err = cleanTarget(in.Target); err != nil {
		return m, err
	}
	if o := in.BindOptions; o != nil && in.Type != mount.TypeBind || in.VolumeOptions != nil && in.Type != mount.TypeVolume ||
		in.TmpfsOptions != nil && in.Type != mount.TypeTmpfs || in.ImageOptions != nil && in.Type != mount.TypeImage {
		return m, invalid("mount at %s: options of another type than %s", m.Target, in.Type)
	}
	switch in.Type {
	case mount.TypeBind:
		return m, m.setBind(in)
	case mount.TypeVolume:
		return m, m.setVolume(in)
	case mount.TypeTmpfs:
		return m, m.setTmpfs(in)
	}
	return m, invalid("mount at %s: type %q is not supported, use bind, volume or tmpfs", m.Target, in.Type)
}

func (m *Mount) setBind(in mount.Mount) error {
	if !path.IsAbs(in.Source) || strings.ContainsRune(in.Source, 0) {
		return invalid("mount at %s: the source %q is not an absolute path", m.Target, in.Source)
	}
	m.Source = filepath.Clean(in.Source)
	o := in.BindOptions
	if o == nil {
		return nil
	}
	if o.Propagation != "" && !slices.Contains(mount.Propagations, o.Propagation) {
		return invalid("mount at %s: unknown propagation %q", m.Target, o.Propagation)
	}
	if o.ReadOnlyNonRecursive && !o.NonRecursive {
		return invalid("mount at %s: bind-recursive=writable is not supported: read-only holds for the mounts below, too; use bind-recursive=disabled to leave them out", m.Target)
	}
	m.Propagation, m.NonRecursive, m.CreateSource = o.Propagation, o.NonRecursive, o.CreateMountpoint
	return nil
}

func (m *Mount) setVolume(in mount.Mount) error {
	if in.Source != "" && !validVolumeName(in.Source) {
		return invalid("mount at %s: invalid volume name %q: use [a-zA-Z0-9][a-zA-Z0-9_.-]+", m.Target, in.Source)
	}
	m.Name = in.Source
	o := in.VolumeOptions
	if o == nil {
		return nil
	}
	if o.Subpath != "" {
		return invalid("mount at %s: volume-subpath is not supported yet", m.Target)
	}
	m.NoCopy, m.Labels = o.NoCopy, o.Labels
	if d := o.DriverConfig; d != nil {
		if d.Name != "" && d.Name != "local" {
			return invalid("mount at %s: unknown volume driver %q: only local is there", m.Target, d.Name)
		}
		m.Options = d.Options
	}
	return nil
}

// validVolumeName follows Docker's rule; a name is a directory's too.
func validVolumeName(s string) bool {
	if len(s) < 2 || len(s) > 255 {
		return false
	}
	for i, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("_.-", rune(c))) {
			return false
		}
	}
	return true
}
