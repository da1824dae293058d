package spec

import (
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ipcSysctls are those of the ipc namespace besides fs.mqueue (namespaces(7)).
var ipcSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
	"kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}

// setSysctls allows those that belong to a namespace of the container's own,
// as any other would change the host's.
func (b *builder) setSysctls() error {
	h := b.HostConfig
	sysctls := make(map[string]string, len(h.Sysctls)+1)
	for _, name := range slices.Sorted(maps.Keys(h.Sysctls)) {
		key, value := sysctlKey(name), strings.TrimSpace(h.Sysctls[name])
		shared := ""
		switch {
		case key == "":
			return invalid("invalid sysctl name %q", name)
		case strings.HasPrefix(key, "net."):
			if h.NetworkMode.IsHost() {
				shared = "--network host"
			}
		case strings.HasPrefix(key, "fs.mqueue.") || slices.Contains(ipcSysctls, key):
			if h.IpcMode.IsHost() {
				shared = "--ipc host"
			}
		case key == "kernel.domainname":
			if h.UTSMode.IsHost() {
				shared = "--uts host"
			}
		default:
			return invalid("sysctl %s does not belong to a namespace: set it on the host", name)
		}
		if shared != "" {
			return invalid("sysctl %s would change the host's, because of %s", name, shared)
		}
		if strings.Trim(value, sysctlValueChars) != "" || value == "" || len(value) > 1024 {
			return invalid("sysctl %s: invalid value %q", name, value)
		}
		if _, twice := sysctls[key]; twice {
			return invalid("sysctl %s is given twice", name)
		}
		sysctls[key] = value
	}
	// As in Docker: a port below 1024 is no privilege in a network of one's own.
	// It needs a /proc of the container's.
	const ports = "net.ipv4.ip_unprivileged_port_start"
	if _, set := sysctls[ports]; !set && h.NetworkMode.IsPrivate() && !b.sharesHost(specs.PIDNamespace) {
		sysctls[ports] = "0"
	}
	if len(sysctls) > 0 {
		b.spec.Linux.Sysctl = sysctls
	}
	return nil
}

// sysctlValueChars are what values are made of: numbers, names and lists.
const sysctlValueChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \t_.,:/-"

// sysctlKey gives a name in its dotted form, or "" if it is none. As for
// sysctl(8), the first separator decides: after a slash, a dot is part of a
// name ("net/ipv4/conf/eth0.1/forwarding"), which stays as it is.
func sysctlKey(name string) string {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") != "" || len(name) > 255 {
		return ""
	}
	i := strings.IndexAny(name, "./")
	if i < 1 {
		return ""
	}
	parts := strings.Split(name, name[i:i+1])
	for _, p := range parts {
		if p == "" || p == "." || p == ".." {
			return ""
		}
	}
	if name[i] == '.' && strings.Contains(name, "/") {
		return ""
	}
	if name[i] == '/' && strings.Contains(name, ".") {
		// Dots become slashes in the dotted form.
		for j, p := range parts {
			parts[j] = strings.ReplaceAll(p, ".", "/")
		}
	}
	return strings.Join(parts, ".")
}
