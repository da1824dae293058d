package facts

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"berth/ociruntime/plan/netdevice"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// NetDevices finds the devices of linux.netDevices on the host, with the
// addresses that they keep: those that somebody set for good and that are valid
// everywhere (config-linux.md, "Network Devices").
func NetDevices(s *specs.Spec) ([]netdevice.Device, error) {
	if s.Linux == nil || len(s.Linux.NetDevices) == 0 {
		return nil, nil
	}
	indexes, err := linkIndexes()
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	addresses, err := addressesOf()
	if err != nil {
		return nil, fmt.Errorf("list network addresses: %w", err)
	}
	var devices []netdevice.Device
	for _, name := range slices.Sorted(maps.Keys(s.Linux.NetDevices)) {
		index, ok := indexes[name]
		if !ok {
			return nil, fmt.Errorf("linux.netDevices names %s, which the host does not have: see ip link", name)
		}
		d := netdevice.Device{Name: name, NewName: s.Linux.NetDevices[name].Name, Index: index, Addresses: addresses[index]}
		if d.NewName == "" {
			d.NewName = name
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// linkIndexes are the numbers of this namespace's devices.
func linkIndexes() (map[string]uint32, error) {
	found := map[string]uint32{}
	err := eachMessage(syscall.RTM_GETLINK, syscall.RTM_NEWLINK, func(m *syscall.NetlinkMessage, attrs []syscall.NetlinkRouteAttr) {
		for _, a := range attrs {
			if a.Attr.Type == syscall.IFLA_IFNAME && len(a.Value) > 0 {
				found[string(a.Value[:len(a.Value)-1])] = binary.LittleEndian.Uint32(m.Data[4:]) // struct ifinfomsg
			}
		}
	})
	return found, err
}

// addressesOf are the addresses of each device that survive a move.
func addressesOf() (map[uint32][]netdevice.Address, error) {
	found := map[uint32][]netdevice.Address{}
	const permanent = 0x80 // IFA_F_PERMANENT
	err := eachMessage(syscall.RTM_GETADDR, syscall.RTM_NEWADDR, func(m *syscall.NetlinkMessage, attrs []syscall.NetlinkRouteAttr) {
		head := m.Data // struct ifaddrmsg: family, prefixlen, flags, scope, index
		if head[2]&permanent == 0 || head[3] != syscall.RT_SCOPE_UNIVERSE {
			return
		}
		a := netdevice.Address{Family: head[0], PrefixLen: head[1]}
		for _, attr := range attrs {
			switch attr.Attr.Type {
			case syscall.IFA_LOCAL, syscall.IFA_ADDRESS, syscall.IFA_BROADCAST:
				a.Attributes = append(a.Attributes, netdevice.Attribute{Type: attr.Attr.Type, Data: slices.Clone(attr.Value)})
			}
		}
		index := binary.LittleEndian.Uint32(head[4:])
		found[index] = append(found[index], a)
	})
	return found, err
}

// eachMessage asks the kernel for a table of this namespace.
func eachMessage(request int, kind uint16, each func(*syscall.NetlinkMessage, []syscall.NetlinkRouteAttr)) error {
	table, err := syscall.NetlinkRIB(request, syscall.AF_UNSPEC)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return err
	}
	for i := range messages {
		if messages[i].Header.Type != kind {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&messages[i])
		if err != nil {
			return err
		}
		each(&messages[i], attrs)
	}
	return nil
}
