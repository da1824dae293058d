package spec

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// defaultMaskedPaths hide what tells of the host or of other containers.
func defaultMaskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound",
		"/proc/interrupts", // its counters tell keystrokes apart
		"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
		"/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", // power measures what other programs compute
		"/sys/firmware",
	}
}

func defaultReadonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// securityOptions are --security-opt, read.
type securityOptions struct {
	seccomp       string // a profile, "unconfined", or empty for the default
	noNewPrivs    bool
	writableGroup bool
	unmasked      bool
}

func (b *builder) parseSecurityOpt() (o securityOptions, err error) {
	for _, opt := range b.HostConfig.SecurityOpt {
		if opt == "no-new-privileges" {
			o.noNewPrivs = true
			continue
		}
		key, value, ok := strings.Cut(opt, "=")
		if !ok || strings.ContainsAny(key, ":{") { // the older separator
			key, value, ok = strings.Cut(opt, ":")
		}
		if !ok {
			return o, invalid("invalid --security-opt %q: it is NAME=VALUE", shorten(opt))
		}
		switch key {
		case "no-new-privileges":
			if o.noNewPrivs, err = strconv.ParseBool(value); err != nil {
				return o, invalid("invalid --security-opt %q: use true or false", shorten(opt))
			}
		case "seccomp":
			if value == "" {
				return o, invalid("invalid --security-opt seccomp: the profile is empty")
			}
			o.seccomp = value
		case "apparmor":
			if value != "unconfined" {
				return o, b.noLSM("apparmor", "AppArmor", b.Host.AppArmor)
			}
		case "label":
			if value != "disable" {
				return o, b.noLSM("label", "SELinux", b.Host.SELinux)
			}
		case "writable-cgroups":
			if o.writableGroup, err = strconv.ParseBool(value); err != nil {
				return o, invalid("invalid --security-opt %q: use true or false", shorten(opt))
			}
		case "systempaths":
			if value != "unconfined" {
				return o, invalid("invalid --security-opt %q: use systempaths=unconfined", shorten(opt))
			}
			o.unmasked = true
		default:
			return o, invalid("unknown --security-opt %q: use seccomp, no-new-privileges, systempaths, writable-cgroups, apparmor or label", shorten(opt))
		}
	}
	return o, nil
}

// noLSM says why a profile of a security module cannot be had.
func (b *builder) noLSM(option, module string, enabled bool) error {
	if !enabled {
		return invalid("--security-opt %s: %s is not enabled on this machine", option, module)
	}
	return invalid("--security-opt %s: berth does not set %s profiles yet", option, module)
}

// shorten keeps a profile that was given by mistake out of an error's line.
func shorten(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// setSecurity sets the masks, no_new_privs and the seccomp profile.
func (b *builder) setSecurity() error {
	o, err := b.parseSecurityOpt()
	if err != nil {
		return err
	}
	h, l := b.HostConfig, b.spec.Linux
	b.spec.Process.NoNewPrivileges = o.noNewPrivs
	if o.writableGroup {
		for i, m := range b.spec.Mounts {
			if m.Destination == "/sys/fs/cgroup" && m.Type == "cgroup" {
				b.spec.Mounts[i].Options = slices.DeleteFunc(m.Options, func(s string) bool { return s == "ro" })
			}
		}
	}
	if !h.Privileged && !o.unmasked {
		l.MaskedPaths, l.ReadonlyPaths = h.MaskedPaths, h.ReadonlyPaths
		if l.MaskedPaths == nil { // empty means none: Docker's client sends that for systempaths=unconfined
			l.MaskedPaths = append(defaultMaskedPaths(), b.Host.Masked...)
		}
		if l.ReadonlyPaths == nil {
			l.ReadonlyPaths = defaultReadonlyPaths()
		}
	}
	for _, p := range slices.Concat(l.MaskedPaths, l.ReadonlyPaths) {
		if !path.IsAbs(p) || strings.ContainsRune(p, 0) {
			return invalid("masked or read-only path %q is not absolute", p)
		}
	}
	return b.setSeccomp(o.seccomp)
}
