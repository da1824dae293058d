package systemd

import (
	"strconv"
	"strings"

	"berth/ociruntime/cgroups/devicerule"
)

// DeviceProperties says device rules in systemd's words. For version 1 it
// matters: systemd writes the list anew when it is reloaded. groups is
// /proc/devices, whose names systemd knows whole majors by. Rules that allow all
// but something it cannot say: it is then left to what is written beside it.
func DeviceProperties(l devicerule.List, groups string) []Property {
	entries, allowsAll := l.Allowed()
	if allowsAll {
		return []Property{{"DevicePolicy", "auto"}, {"DeviceAllow", [][2]string{}}}
	}
	allow := [][2]string{}
	for _, e := range entries {
		var node string
		switch {
		case e.Major < 0 && e.Minor < 0:
			node = e.KindName() + "-*"
		case e.Major < 0:
			continue // a minor of every major: no word for it
		case e.Minor < 0:
			name := groupOf(groups, e.KindName(), e.Major)
			if name == "" {
				continue // no driver has it now
			}
			node = e.KindName() + "-" + name
		default:
			node = "/dev/" + e.KindName() + "/" + strconv.FormatInt(e.Major, 10) + ":" + strconv.FormatInt(e.Minor, 10)
		}
		allow = append(allow, [2]string{node, e.Access})
	}
	// The first, empty, list takes off what was there.
	return []Property{{"DevicePolicy", "strict"}, {"DeviceAllow", [][2]string{}}, {"DeviceAllow", allow}}
}

// groupOf finds a major's name in /proc/devices.
func groupOf(groups, kind string, major int64) string {
	section := ""
	for line := range strings.Lines(groups) {
		line = strings.TrimSpace(line)
		switch line {
		case "Character devices:":
			section = "char"
		case "Block devices:":
			section = "block"
		}
		number, name, ok := strings.Cut(line, " ")
		if n, err := strconv.ParseInt(number, 10, 64); ok && err == nil && section == kind && n == major {
			return name
		}
	}
	return ""
}
