package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/mount"
)

// tmpfsFlags groups those of which the last one counts.
func tmpfsFlags() [][]string {
	return [][]string{
		{"ro", "rw"},
		{"nosuid", "suid"},
		{"nodev", "dev"},
		{"noexec", "exec"},
		{"sync", "async"},
		{"noatime", "relatime", "strictatime"},
		{"nodiratime", "diratime"},
	}
}

// tmpfsOptions merges options over Docker's defaults; the last of a kind counts.
func tmpfsOptions(target string, options []string) ([]string, error) {
	out := []string{"noexec", "nosuid", "nodev"}
	for _, o := range options {
		if o == "" {
			continue
		}
		same, err := tmpfsOption(o)
		if err != nil {
			return nil, invalid("tmpfs at %s: %v", target, err)
		}
		out = slices.DeleteFunc(out, same)
		out = append(out, o)
	}
	return out, nil
}

// tmpfsOption checks an option and tells which others it replaces.
func tmpfsOption(o string) (same func(string) bool, err error) {
	for _, group := range tmpfsFlags() {
		if slices.Contains(group, o) {
			return func(s string) bool { return slices.Contains(group, s) }, nil
		}
	}
	key, value, hasValue := strings.Cut(o, "=")
	ok := false
	switch key {
	case "size", "nr_blocks", "nr_inodes":
		digits := strings.TrimRight(value, "kKmMgG%")
		_, err := strconv.ParseUint(digits, 10, 63)
		ok = err == nil && len(value)-len(digits) <= 1 && (key == "size" || !strings.HasSuffix(value, "%"))
	case "mode":
		n, err := strconv.ParseUint(value, 8, 32)
		ok = err == nil && n <= 0o7777
	case "uid", "gid":
		_, numeric, err := parseID(value)
		ok = err == nil && numeric
	case "huge":
		ok = slices.Contains([]string{"never", "always", "within_size", "advise"}, value)
	case "mpol":
		ok = value != "" && !strings.ContainsAny(value, " \t\n\x00")
	default:
		return nil, fmt.Errorf("unknown option %q", o)
	}
	if !hasValue || !ok {
		return nil, fmt.Errorf("invalid option %q", o)
	}
	return func(s string) bool { return strings.HasPrefix(s, key+"=") }, nil
}

// parseTmpfs reads an entry of --tmpfs.
func parseTmpfs(target, options string) (Mount, error) {
	clean, err := cleanTarget(target)
	if err != nil {
		return Mount{}, err
	}
	m := Mount{Type: mount.TypeTmpfs, Target: clean}
	m.TmpfsOptions, err = tmpfsOptions(clean, strings.Split(options, ","))
	return m, err
}

// setTmpfs reads --mount type=tmpfs.
func (m *Mount) setTmpfs(in mount.Mount) error {
	if in.Source != "" {
		return invalid("mount at %s: a tmpfs has no source", m.Target)
	}
	var options []string
	if in.ReadOnly {
		options = append(options, "ro")
	}
	if o := in.TmpfsOptions; o != nil {
		if o.SizeBytes < 0 {
			return invalid("mount at %s: tmpfs-size is negative", m.Target)
		}
		if o.SizeBytes > 0 {
			options = append(options, "size="+strconv.FormatInt(o.SizeBytes, 10))
		}
		if o.Mode != 0 {
			options = append(options, fmt.Sprintf("mode=%o", o.Mode))
		}
		for _, kv := range o.Options {
			options = append(options, strings.Join(kv, "="))
		}
	}
	var err error
	m.TmpfsOptions, err = tmpfsOptions(m.Target, options)
	return err
}
