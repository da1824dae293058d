package bridge

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"berth/internal/linux"

	"github.com/vishvananda/netlink"
)

// sysctlRoot shows the network namespace of the thread that opens a file in it.
const sysctlRoot = "/proc/sys/net/"

// sysctl is a setting below sysctlRoot.
type sysctl struct{ path, value string }

// applySysctls sets what is not so yet: some writes have effects even if
// nothing changes, and a read-only /proc/sys that is right is no error.
// The calling thread is in the namespace.
func applySysctls(all []sysctl) error {
	for _, s := range all {
		if _, err := applySysctl(s); err != nil {
			return err
		}
	}
	return nil
}

func applySysctl(s sysctl) (changed bool, err error) {
	have, err := linux.ReadControl(sysctlRoot + s.path)
	if err == nil && strings.TrimSpace(have) == s.value {
		return false, nil
	}
	if err == nil {
		err = linux.WriteControl(sysctlRoot+s.path, s.value)
	}
	if err != nil {
		return false, fmt.Errorf("set sysctl net.%s to %s: %w", strings.ReplaceAll(s.path, "/", "."), s.value, err)
	}
	return true, nil
}

// ipv6Sysctls are those of a device of a network: without an IPv6 address it
// has no IPv6 at all, else link-local addresses would go around what the
// firewall knows of. Routers in containers are not believed, and nobody waits
// for duplicates of addresses that berth hands out.
func ipv6Sysctls(device string, enabled bool) []sysctl {
	dir := "ipv6/conf/" + device + "/"
	if !enabled {
		return []sysctl{{dir + "accept_ra", "0"}, {dir + "disable_ipv6", "1"}}
	}
	return []sysctl{{dir + "accept_ra", "0"}, {dir + "accept_dad", "0"}, {dir + "disable_ipv6", "0"}}
}

// Forwarding tells whether the host forwards packets.
func (l *Links) Forwarding() (v4, v6 bool, err error) {
	err = l.within(func() error {
		have, err := linux.ReadControl(sysctlRoot + "ipv4/ip_forward")
		if err != nil {
			return err
		}
		v4 = strings.TrimSpace(have) == "1"
		if l.ipv6 {
			have, err = linux.ReadControl(sysctlRoot + "ipv6/conf/all/forwarding")
			v6 = strings.TrimSpace(have) == "1"
		}
		return err
	})
	return v4, v6, err
}

// IPv6 says whether the kernel knows IPv6.
func (l *Links) IPv6() bool { return l.ipv6 }

// IPv6Off says whether the host's administrator has turned IPv6 off, or the kernel has none.
func (l *Links) IPv6Off() (off bool, err error) {
	if !l.ipv6 {
		return true, nil
	}
	err = l.within(func() error {
		have, err := linux.ReadControl(sysctlRoot + "ipv6/conf/all/disable_ipv6")
		off = strings.TrimSpace(have) == "1"
		return err
	})
	return off, err
}

// Names are the names of all devices but the loopback device and berth's own
// bridges and parents.
func (l *Links) Names() ([]string, error) {
	links, err := l.list()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, link := range links {
		if _, ours := owner(link); !ours && link.Attrs().Flags&net.FlagLoopback == 0 {
			names = append(names, link.Attrs().Name)
		}
	}
	return names, nil
}

// EnableForwarding lets the host forward packets, IPv4 and with v6 also IPv6, and
// tells if it did not before.
func (l *Links) EnableForwarding(v6 bool) (changed bool, err error) {
	var uplinks []string
	if v6 && l.ipv6 {
		if uplinks, err = l.uplinks(); err != nil {
			return false, err
		}
	}
	err = l.within(func() error {
		if changed, err = applySysctl(sysctl{"ipv4/ip_forward", "1"}); err != nil || !v6 || !l.ipv6 {
			return err
		}
		if have, err := linux.ReadControl(sysctlRoot + "ipv6/conf/all/forwarding"); err == nil && strings.TrimSpace(have) == "1" {
			return nil
		}
		// A router does not listen to other routers, unless it is told to: the host
		// would lose its own default route. Before it is one, or that is gone at once.
		for _, name := range uplinks {
			if err := keepRouters(name); err != nil {
				return err
			}
		}
		six, err := applySysctl(sysctl{"ipv6/conf/all/forwarding", "1"})
		changed = changed || six
		return err
	})
	return changed, err
}

// keepRouters makes a device that accepts router advertisements go on with it
// when the host forwards.
func keepRouters(device string) error {
	path := "ipv6/conf/" + device + "/accept_ra"
	have, err := linux.ReadControl(sysctlRoot + path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it is gone, or so small an MTU that there is no IPv6
	}
	if err != nil || strings.TrimSpace(have) != "1" {
		return err
	}
	return applySysctls([]sysctl{{path, "2"}})
}

// uplinks are the devices that routers may be behind: no container's, none that
// is part of another.
func (l *Links) uplinks() ([]string, error) {
	links, err := l.list()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, link := range links {
		a := link.Attrs()
		_, ours := owner(link)
		if _, veth := link.(*netlink.Veth); !veth && !ours && a.MasterIndex == 0 && a.Flags&net.FlagLoopback == 0 {
			names = append(names, a.Name)
		}
	}
	return names, nil
}
