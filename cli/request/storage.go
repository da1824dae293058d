package request

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"berth/cli/client"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/mount"
)

// addVolume adds one --volume: [SOURCE:]TARGET[:OPTIONS]. A source that begins
// with a dot is relative to the caller's working directory.
func addVolume(r *client.CreateRequest, v string) error {
	bad := func(why string) error {
		return fmt.Errorf("invalid --volume %q: %s; write HOST:CONTAINER[:ro]", v, why)
	}
	parts := strings.Split(v, ":")
	switch {
	case len(parts) > 3:
		return bad("it has too many colons")
	case parts[0] == "" || parts[len(parts)-1] == "":
		return bad("a part is empty")
	case len(parts) == 1 && strings.HasPrefix(v, "/"):
		if r.Volumes == nil {
			r.Volumes = map[string]struct{}{}
		}
		r.Volumes[v] = struct{}{}
		return nil
	case len(parts) == 1 || !strings.HasPrefix(parts[1], "/"):
		return bad("the path in the container must begin with /")
	}
	if strings.HasPrefix(parts[0], ".") {
		abs, err := filepath.Abs(parts[0])
		if err != nil {
			return bad(err.Error())
		}
		parts[0] = abs
	}
	r.HostConfig.Binds = append(r.HostConfig.Binds, strings.Join(parts, ":"))
	return nil
}

// parseMount parses one --mount: KEY=VALUE fields of a CSV line.
func parseMount(s string) (mount.Mount, error) {
	m := mount.Mount{Type: mount.TypeVolume}
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return m, fmt.Errorf("invalid --mount %q: %w", s, err)
	}
	for _, f := range fields {
		key, value, has := strings.Cut(strings.TrimSpace(f), "=")
		if err := mountField(&m, strings.ToLower(key), value, has); err != nil {
			return m, fmt.Errorf("invalid --mount %q: %w", s, err)
		}
	}
	return m, checkMount(s, &m)
}

func mountField(m *mount.Mount, key, value string, has bool) (err error) {
	switch key {
	case "readonly", "ro":
		m.ReadOnly, err = boolean(key, value, has)
		return err
	case "volume-nocopy":
		if m.VolumeOptions == nil {
			m.VolumeOptions = &mount.VolumeOptions{}
		}
		m.VolumeOptions.NoCopy, err = boolean(key, value, has)
		return err
	}
	if !has || value == "" {
		return fmt.Errorf("%q has no value, write KEY=VALUE", key)
	}
	switch key {
	case "type":
		m.Type = mount.Type(strings.ToLower(value))
	case "source", "src":
		m.Source = value
		if strings.HasPrefix(value, ".") {
			m.Source, err = filepath.Abs(value)
		}
	case "target", "dst", "destination":
		m.Target = value
	case "bind-propagation", "bind-recursive":
		return bindField(m, key, value)
	case "tmpfs-size", "tmpfs-mode":
		return tmpfsField(m, key, value)
	case "consistency":
		m.Consistency = mount.Consistency(strings.ToLower(value))
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	return err
}

func boolean(key, value string, has bool) (bool, error) {
	if !has {
		return true, nil
	}
	v, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s is true or false, not %q", key, value)
	}
	return v, nil
}

func bindField(m *mount.Mount, key, value string) error {
	if m.BindOptions == nil {
		m.BindOptions = &mount.BindOptions{}
	}
	b := m.BindOptions
	if key == "bind-propagation" {
		b.Propagation = mount.Propagation(strings.ToLower(value))
		for _, p := range mount.Propagations {
			if p == b.Propagation {
				return nil
			}
		}
		return fmt.Errorf("unknown %s %q: give rprivate, private, rshared, shared, rslave or slave", key, value)
	}
	switch value {
	case "enabled":
	case "disabled":
		b.NonRecursive = true
	case "writable":
		b.ReadOnlyNonRecursive = true
	case "readonly":
		b.ReadOnlyForceRecursive = true
	default:
		return fmt.Errorf("unknown %s %q: give enabled, disabled, writable or readonly", key, value)
	}
	return nil
}

func tmpfsField(m *mount.Mount, key, value string) error {
	if m.TmpfsOptions == nil {
		m.TmpfsOptions = &mount.TmpfsOptions{}
	}
	if key == "tmpfs-size" {
		n, err := units.RAMInBytes(value)
		if err != nil || n < 0 {
			return fmt.Errorf("%s is a size as 64m, not %q", key, value)
		}
		m.TmpfsOptions.SizeBytes = n
		return nil
	}
	mode, err := strconv.ParseUint(value, 8, 32)
	if err != nil || mode > 0o7777 {
		return fmt.Errorf("%s is an octal mode as 1777, not %q", key, value)
	}
	m.TmpfsOptions.Mode = os.FileMode(mode)
	return nil
}

func checkMount(s string, m *mount.Mount) error {
	bad := func(why string) error { return fmt.Errorf("invalid --mount %q: %s", s, why) }
	switch {
	case m.Target == "":
		return bad("it has no target, add target=/PATH")
	case !strings.HasPrefix(m.Target, "/"):
		return bad("the target is a path in the container and must begin with /")
	case m.Type != mount.TypeBind && m.Type != mount.TypeVolume && m.Type != mount.TypeTmpfs && m.Type != mount.TypeImage:
		return bad(fmt.Sprintf("unknown type %q, give bind, tmpfs or volume", m.Type))
	case m.Type == mount.TypeBind && !strings.HasPrefix(m.Source, "/"):
		return bad("a bind needs source=/PATH on the host")
	case m.Type == mount.TypeTmpfs && m.Source != "":
		return bad("a tmpfs has no source")
	case m.BindOptions != nil && m.Type != mount.TypeBind:
		return bad("bind-* needs type=bind")
	case m.TmpfsOptions != nil && m.Type != mount.TypeTmpfs:
		return bad("tmpfs-* needs type=tmpfs")
	case m.VolumeOptions != nil && m.Type != mount.TypeVolume:
		return bad("volume-* needs type=volume")
	}
	return nil
}
