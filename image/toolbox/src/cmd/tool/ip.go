package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// ip shows links, addresses and routes; what changes them is u-root's ip.
func ip(e *env) error {
	args := e.args
	family := 0
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-4":
			family = syscall.AF_INET
		case "-6":
			family = syscall.AF_INET6
		}
		args = args[1:]
	}
	if len(args) == 0 {
		return usageError("say what: ip addr, ip link or ip route")
	}
	show := len(args) == 1 || len(args) == 2 && strings.HasPrefix("show", args[1]) || len(args) == 2 && args[1] == "list"
	switch {
	case show && strings.HasPrefix("address", args[0]):
		return showLinks(e, true, family)
	case show && strings.HasPrefix("link", args[0]):
		return showLinks(e, false, family)
	case show && strings.HasPrefix("route", args[0]):
		return showRoutes(e, family)
	}
	return os.NewSyscallError("execve "+uroot, syscall.Exec(uroot, append([]string{"ip"}, e.args...), os.Environ()))
}

// attributes of a netlink message by type.
func attributes(m *syscall.NetlinkMessage) map[uint16][]byte {
	found := map[uint16][]byte{}
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return found
	}
	for _, a := range attrs {
		found[a.Attr.Type] = a.Value
	}
	return found
}

func dump(request, family int) ([]syscall.NetlinkMessage, error) {
	b, err := syscall.NetlinkRIB(request, family)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for its network: %w", err)
	}
	return syscall.ParseNetlinkMessage(b)
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func address(b []byte) string {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return "?"
	}
	return a.String()
}

// The attribute for the operational state (RFC 2863), rtnetlink(7).
const iflaOperstate = 16

func linkNames() (map[uint32]string, error) {
	links, err := dump(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	names := map[uint32]string{}
	for i := range links {
		if links[i].Header.Type == syscall.RTM_NEWLINK {
			names[binary.NativeEndian.Uint32(links[i].Data[4:])] = text(attributes(&links[i])[syscall.IFLA_IFNAME])
		}
	}
	return names, err
}

func showLinks(e *env, addresses bool, family int) error {
	links, err := dump(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return err
	}
	var addrs []syscall.NetlinkMessage
	if addresses {
		if addrs, err = dump(syscall.RTM_GETADDR, family); err != nil {
			return err
		}
	}
	for i := range links {
		m := &links[i]
		if m.Header.Type != syscall.RTM_NEWLINK {
			continue
		}
		kind := binary.NativeEndian.Uint16(m.Data[2:])
		index, flags := binary.NativeEndian.Uint32(m.Data[4:]), binary.NativeEndian.Uint32(m.Data[8:])
		a := attributes(m)
		peer := ""
		if link := number(a[syscall.IFLA_LINK]); link != 0 && link != index {
			peer = fmt.Sprintf("@if%d", link)
		}
		state := 0
		if s := a[iflaOperstate]; len(s) > 0 {
			state = int(s[0])
		}
		fmt.Fprintf(e.out, "%d: %s%s: <%s> mtu %d qdisc %s state %s\n", index, text(a[syscall.IFLA_IFNAME]), peer, linkFlags(flags),
			number(a[syscall.IFLA_MTU]), text(a[syscall.IFLA_QDISC]), operState(state))
		fmt.Fprintf(e.out, "    link/%s %s brd %s\n", linkKind(kind), hardware(a[syscall.IFLA_ADDRESS]), hardware(a[syscall.IFLA_BROADCAST]))
		for j := range addrs {
			showAddress(e, &addrs[j], index)
		}
	}
	return nil
}

func showAddress(e *env, m *syscall.NetlinkMessage, link uint32) {
	if m.Header.Type != syscall.RTM_NEWADDR || binary.NativeEndian.Uint32(m.Data[4:]) != link {
		return
	}
	a := attributes(m)
	word, value := "inet", a[syscall.IFA_LOCAL]
	if m.Data[0] == syscall.AF_INET6 {
		word = "inet6"
	}
	if value == nil {
		value = a[syscall.IFA_ADDRESS]
	}
	broadcast := ""
	if b := a[syscall.IFA_BROADCAST]; b != nil {
		broadcast = " brd " + address(b)
	}
	scope := map[byte]string{0: "global", 200: "site", 253: "link", 254: "host"}[m.Data[3]]
	fmt.Fprintf(e.out, "    %s %s/%d%s scope %s %s\n", word, address(value), m.Data[1], broadcast, scope, text(a[syscall.IFA_LABEL]))
}

func linkFlags(flags uint32) string {
	names := []struct {
		bit  uint32
		name string
	}{
		{syscall.IFF_BROADCAST, "BROADCAST"},
		{syscall.IFF_LOOPBACK, "LOOPBACK"},
		{syscall.IFF_POINTOPOINT, "POINTOPOINT"},
		{syscall.IFF_NOARP, "NOARP"},
		{syscall.IFF_PROMISC, "PROMISC"},
		{syscall.IFF_MULTICAST, "MULTICAST"},
		{syscall.IFF_UP, "UP"},
		{1 << 16, "LOWER_UP"},
	}
	var set []string
	for _, n := range names {
		if flags&n.bit != 0 {
			set = append(set, n.name)
		}
	}
	return strings.Join(set, ",")
}

func operState(n int) string {
	states := []string{"UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"}
	if n < len(states) {
		return states[n]
	}
	return "UNKNOWN"
}

func linkKind(n uint16) string {
	switch n {
	case syscall.ARPHRD_ETHER:
		return "ether"
	case syscall.ARPHRD_LOOPBACK:
		return "loopback"
	case syscall.ARPHRD_NONE:
		return "none"
	}
	return fmt.Sprintf("[%d]", n)
}

func hardware(b []byte) string {
	s := make([]string, len(b))
	for i, x := range b {
		s[i] = fmt.Sprintf("%02x", x)
	}
	return strings.Join(s, ":")
}

func showRoutes(e *env, family int) error {
	if family == 0 {
		family = syscall.AF_INET
	}
	routes, err := dump(syscall.RTM_GETROUTE, family)
	if err != nil {
		return err
	}
	names, err := linkNames()
	if err != nil {
		return err
	}
	for i := range routes {
		m := &routes[i]
		// The main table only, as ip does: local and broadcast routes are noise.
		if m.Header.Type != syscall.RTM_NEWROUTE || m.Data[4] != syscall.RT_TABLE_MAIN {
			continue
		}
		a := attributes(m)
		to := "default"
		if d := a[syscall.RTA_DST]; d != nil {
			to = fmt.Sprintf("%s/%d", address(d), m.Data[1])
		}
		if g := a[syscall.RTA_GATEWAY]; g != nil {
			to += " via " + address(g)
		}
		to += " dev " + names[number(a[syscall.RTA_OIF])]
		if s := a[syscall.RTA_PREFSRC]; s != nil {
			to += " src " + address(s)
		}
		fmt.Fprintln(e.out, to)
	}
	return nil
}
