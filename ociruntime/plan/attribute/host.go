package attribute

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"
)

// What a process's namespaces look like: names, parameters, the loopback device.

// Names sets the names of the host that a uts namespace shows.
func Names(c *call.Calls, host, domain string) {
	if host != "" {
		c.Do("set hostname %s", host)
		c.Call("sethostname", linux.SysSethostname, c.String(host), program.Int(len(host)))
	}
	if domain != "" {
		c.Do("set domainname %s", domain)
		c.Call("setdomainname", syscall.SYS_SETDOMAINNAME, c.String(domain), program.Int(len(domain)))
	}
}

// Loopback brings lo up: a new network namespace has it down (netdevice(7)).
func Loopback(c *call.Calls) {
	c.Do("bring loopback up")
	sock := c.Slot("socket")
	ifreq := make([]byte, 40)
	copy(ifreq, "lo")
	binary.LittleEndian.PutUint16(ifreq[16:], linux.IffUp)
	c.Call("socket", syscall.SYS_SOCKET, program.Flags(syscall.AF_INET, "AF_INET"), program.Flags(syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, "SOCK_DGRAM"), program.Int(0)).To(sock)
	c.Call("ioctl", syscall.SYS_IOCTL, sock.Value(), program.Flags(linux.Siocsifflags, "SIOCSIFFLAGS"), c.Buffer("ifreq", ifreq).At(0))
	c.Call("close", syscall.SYS_CLOSE, sock.Value())
}

// Sysctls writes kernel parameters through the file of a proc mount, never
// through what the container has at /proc (CVE-2025-52881).
func Sysctls(c *call.Calls, proc program.Arg, values map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(values)) {
		value := values[k]
		c.Do("set sysctl %s to %s", k, value)
		c.Remedy("the kernel has no such parameter for a container, or refuses the value")
		fd := c.Slot("sysctl-" + k)
		how := c.OpenHow(syscall.O_WRONLY|syscall.O_CLOEXEC, linux.ResolveBeneath|linux.ResolveNoSymlinks|linux.ResolveNoMagic|linux.ResolveNoXdev, "O_WRONLY BENEATH")
		c.Call("openat2", linux.SysOpenat2, proc, c.String("sys/"+sysctlPath(k)), how, program.Int(24)).To(fd)
		c.Call("write", syscall.SYS_WRITE, fd.Value(), c.Bytes([]byte(value), value), program.Int(len(value)))
		c.Call("close", syscall.SYS_CLOSE, fd.Value())
	}
}

// sysctlPath is the file of a kernel parameter below /proc/sys, as sysctl(8)
// names them: dots part the name and a slash stands for a dot within a part
// ("net.ipv4.conf.eth0/1.forwarding"), or the other way round if a slash is first.
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '/' {
		return name
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(name)
}
