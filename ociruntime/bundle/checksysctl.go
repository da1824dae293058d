package bundle

import (
	"fmt"
	"os"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// checkSysctls lets through what the kernel keeps per namespace, if the
// container has that namespace: anything else would change the host.
func checkSysctls(s *specs.Spec) error {
	for name, value := range s.Linux.Sysctl {
		parts := sysctlPath(name)
		if slices.ContainsFunc(parts, func(p string) bool { return p == "" || p == "." || p == ".." || !isSysctlName(p) }) {
			return fmt.Errorf("linux.sysctl: %q is no name such as net.ipv4.ip_forward", name)
		}
		if strings.ContainsAny(value, "\n\r") {
			return fmt.Errorf("linux.sysctl.%s: the value %q has more than one line", name, value)
		}
		kind, ok := sysctlNamespace(parts)
		switch {
		case slices.Equal(parts, []string{"kernel", "hostname"}):
			return fmt.Errorf("linux.sysctl: set %s with the property hostname", name)
		case !ok:
			return fmt.Errorf("linux.sysctl: %s is not kept per namespace: it would change the host", name)
		case !hasNamespace(s, kind):
			return fmt.Errorf("linux.sysctl: %s needs a %s namespace of the container's own: add one to linux.namespaces", name, kind)
		}
	}
	return nil
}

// checkNetwork refuses network settings for a namespace that is the runtime's
// own by another name.
func checkNetwork(s *specs.Spec) error {
	n, _ := namespaceOf(s, specs.NetworkNamespace)
	if n.Path == "" {
		return nil
	}
	for name := range s.Linux.Sysctl {
		if sysctlPath(name)[0] != "net" {
			continue
		}
		theirs, err := os.Stat(n.Path)
		if err != nil {
			return fmt.Errorf("linux.namespaces (network): %w", err)
		}
		ours, err := os.Stat("/proc/self/ns/net")
		if err != nil {
			return fmt.Errorf("find the own network namespace: %w", err)
		}
		if os.SameFile(ours, theirs) {
			return fmt.Errorf("linux.sysctl: %s would change the host: %s is its network namespace", name, n.Path)
		}
		return nil
	}
	return nil
}

// sysctlPath splits a name. The first separator, a dot or a slash, is the one
// that counts; the other is part of a name (sysctl.d(5)): net/ipv4/conf/eno2.100.
func sysctlPath(name string) []string {
	i := strings.IndexAny(name, "./")
	if i < 0 || name[i] == '/' {
		return strings.Split(name, "/")
	}
	parts := strings.Split(name, ".")
	for i := range parts { // net.ipv4.conf.eno2/100.forwarding
		parts[i] = strings.ReplaceAll(parts[i], "/", ".")
	}
	return parts
}

func isSysctlName(s string) bool {
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("_-.@:", c):
		default:
			return false
		}
	}
	return true
}

// sysctlNamespace says in which kind of namespace the kernel keeps a value.
func sysctlNamespace(parts []string) (specs.LinuxNamespaceType, bool) {
	switch parts[0] {
	case "net":
		return specs.NetworkNamespace, true
	case "user": // limits of user_namespaces(7)
		return specs.UserNamespace, true
	case "fs":
		return specs.IPCNamespace, len(parts) > 2 && parts[1] == "mqueue"
	case "kernel":
		if len(parts) != 2 {
			return "", false
		}
		switch parts[1] {
		case "msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced":
			return specs.IPCNamespace, true
		case "domainname":
			return specs.UTSNamespace, true
		}
	}
	return "", false
}
