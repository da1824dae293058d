package mountoption

import "strings"

// OfType are the options of a file system as its type can take them. An overlay
// gets its lower directories one by one if they do not fit one option
// (fsconfig(2)); the kernel takes them so since Linux 6.7.
func OfType(fstype string, options []string) []string {
	var data []string
	for _, o := range options {
		dirs, ok := strings.CutPrefix(o, "lowerdir=")
		if fstype != "overlay" || !ok || len(dirs) <= 255 || strings.ContainsAny(dirs, "\\") || strings.Contains(dirs, "::") {
			data = append(data, o)
			continue
		}
		for dir := range strings.SplitSeq(dirs, ":") {
			data = append(data, "lowerdir+="+dir)
		}
	}
	return data
}

// KernelMade says whether a file system is one of the kernel's own, with nothing
// behind it. Some are one file system for all who mount them: to make that
// read-only is refused.
func KernelMade(fstype string) bool {
	switch fstype {
	case "proc", "sysfs", "tmpfs", "devpts", "mqueue", "securityfs", "debugfs",
		"tracefs", "bpf", "devtmpfs", "ramfs", "hugetlbfs", "configfs", "binfmt_misc":
		return true
	}
	return false
}
