package netdevice

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"
)

// Kind is what an interface of a container is to the kernel.
type Kind string

// The kinds of interfaces.
const (
	Veth    Kind = "veth"    // one end of a pair; the other is on a bridge of the host (veth(4))
	Macvlan Kind = "macvlan" // a device with an Ethernet address of its own at the host's parent
	Ipvlan  Kind = "ipvlan"  // one that shares the parent's Ethernet address
)

// Pair is an interface to be made and the device of the host that it leads to. It is
// born in the container's namespace: nothing has to be moved.
type Pair struct {
	Kind Kind // empty: Veth
	// HostIndex is a number that no device of the host has: that of a veth's end there.
	HostIndex uint32
	// Inside is the name in the container.
	Inside    string
	MAC       net.HardwareAddr // nil: the kernel's choice
	MTU       uint32           // 0: the kernel's choice
	Addresses []netip.Prefix
	// Gateways are where everything else is sent, at most one of each family. An
	// unspecified one: to the device itself, which needs no router.
	Gateways []netip.Addr

	// Of a Veth. Host is the end on the host; Bridge is the number of the bridge that it
	// becomes a port of.
	Host       string
	Bridge     uint32
	BridgeName string
	// Isolated: the port's traffic goes to the host only, not to other isolated ones.
	Isolated bool
	// Hairpin: what comes from the port may go back to it, as when a container asks for
	// a port that it publishes itself, on a host whose bridges pass netfilter.
	Hairpin bool
	// Limit is what may pass.
	Limit Limit

	// Of the others. Parent is the number of the host's device; Mode and Flags are
	// the kernel's (linux/if_link.h), Flags an Ipvlan's alone.
	Parent     uint32
	ParentName string
	Mode       uint32
	Flags      uint16
}

// insideIndex is the number of the container's interface: free there, as its namespace
// begins with low ones.
func (p Pair) insideIndex() uint32 { return InsideIndex(p.HostIndex) }

// InsideIndex is the number in the container of an interface with this HostIndex.
func InsideIndex(hostIndex uint32) uint32 { return firstIndex + hostIndex }

// Make makes the interfaces in the namespace whose file open puts into a slot.
func Make(c *call.Calls, pairs []Pair, open func(to program.Slot)) {
	for _, p := range pairs {
		var m []byte // ends with the number of the namespace's file
		switch p.Kind {
		case Macvlan, Ipvlan:
			c.Do("make network device %s, a %s of %s", p.Inside, p.Kind, p.ParentName)
			m = p.offspring()
		default:
			c.Do("make network device %s, on bridge %s as %s", p.Inside, p.BridgeName, p.Host)
			m = p.birth()
		}
		file := len(m) - 4
		buf := c.Buffer("device", append(m, 0, 0, 0, 0)) // the number is stored as a word
		open(buf.Slot(file))
		send(c, buf, len(m))
		c.Call("close", syscall.SYS_CLOSE, buf.Slot(file).Value())
		p.setPort(c)
		p.limit(c)
	}
}

// setPort sets what is asked for of a port of a bridge.
func (p Pair) setPort(c *call.Calls) {
	var port []byte
	if p.Isolated {
		port = append(port, encode(Attribute{linux.IflaBrportIsolated, []byte{1}})...)
	}
	if p.Hairpin {
		port = append(port, encode(Attribute{linux.IflaBrportMode, []byte{1}})...)
	}
	if len(port) == 0 {
		return
	}
	c.Do("set bridge port %s", p.Host)
	head := linkHead(p.HostIndex, 0, 0)
	head[0] = syscall.AF_BRIDGE
	m := whole(append(message(linux.RtmSetlink, head), encode(Attribute{linux.IflaProtinfo | linux.NlaFNested, port})...))
	send(c, c.Buffer("port", m), len(m))
}

// birth is the message that makes a veth pair.
func (p Pair) birth() []byte {
	var mtu []byte
	if p.MTU != 0 {
		mtu = encode(Attribute{syscall.IFLA_MTU, le32(p.MTU)})
	}
	peer := linkHead(p.insideIndex(), 0, 0)
	peer = append(peer, encode(Attribute{syscall.IFLA_IFNAME, append([]byte(p.Inside), 0)})...)
	peer = append(peer, mtu...)
	if len(p.MAC) > 0 {
		peer = append(peer, encode(Attribute{syscall.IFLA_ADDRESS, p.MAC})...)
	}
	peer = append(peer, encode(Attribute{linux.IflaNetNsFd, le32(0)})...)

	m := newLink(p.HostIndex, syscall.IFF_UP)
	m = append(m, encode(Attribute{syscall.IFLA_IFNAME, append([]byte(p.Host), 0)})...)
	m = append(m, mtu...)
	m = append(m, encode(Attribute{syscall.IFLA_MASTER, le32(p.Bridge)})...)
	return whole(append(m, linkInfo(Veth, encode(Attribute{linux.VethInfoPeer, peer}))...))
}

// offspring is the message that makes a macvlan or ipvlan: the parent's number is
// one of the sender's namespace, all else is about the container's.
func (p Pair) offspring() []byte {
	data := encode(Attribute{linux.IflaMacvlanMode, le32(p.Mode)})
	if p.Kind == Ipvlan {
		data = encode(Attribute{linux.IflaIpvlanMode, le16(uint16(p.Mode))})
		data = append(data, encode(Attribute{linux.IflaIpvlanFlags, le16(p.Flags)})...)
	}
	m := newLink(p.insideIndex(), 0)
	m = append(m, encode(Attribute{syscall.IFLA_IFNAME, append([]byte(p.Inside), 0)})...)
	m = append(m, encode(Attribute{syscall.IFLA_LINK, le32(p.Parent)})...)
	if p.MTU != 0 {
		m = append(m, encode(Attribute{syscall.IFLA_MTU, le32(p.MTU)})...)
	}
	if len(p.MAC) > 0 {
		m = append(m, encode(Attribute{syscall.IFLA_ADDRESS, p.MAC})...)
	}
	m = append(m, linkInfo(p.Kind, data)...)
	return whole(append(m, encode(Attribute{linux.IflaNetNsFd, le32(0)})...))
}

// newLink begins a message that makes a device with this number and these flags.
func newLink(index, flags uint32) []byte {
	m := message(syscall.RTM_NEWLINK, linkHead(index, flags, flags))
	binary.LittleEndian.PutUint16(m[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|syscall.NLM_F_CREATE|syscall.NLM_F_EXCL)
	return m
}

// linkInfo says what kind of device it is.
func linkInfo(kind Kind, data []byte) []byte {
	info := encode(Attribute{linux.IflaInfoKind, append([]byte(kind), 0)})
	return encode(Attribute{linux.IflaLinkinfo, append(info, encode(Attribute{linux.IflaInfoData, data})...)})
}

// Configure gives the interfaces their addresses and routes and sets them up, by
// a process that is in their namespace.
func Configure(c *call.Calls, pairs []Pair) {
	for _, p := range pairs {
		d := Device{Name: p.Host, NewName: p.Inside, Index: p.HostIndex}
		for _, a := range p.Addresses {
			d.Addresses = append(d.Addresses, addressOf(a))
		}
		SetUp(c, []Device{d})
		for _, gw := range p.Gateways {
			if gw.IsUnspecified() {
				c.Do("route everything else to %s", p.Inside)
			} else {
				c.Do("route everything else by %s", gw)
			}
			m := whole(p.route(gw))
			send(c, c.Buffer("route", m), len(m))
		}
	}
}

// addressOf is an address whose uniqueness is known: berth has handed it out.
func addressOf(a netip.Prefix) Address {
	out := Address{Family: familyOf(a.Addr()), PrefixLen: uint8(a.Bits()), Flags: linux.IfaFNodad}
	ip := a.Addr().AsSlice()
	out.Attributes = []Attribute{{syscall.IFA_LOCAL, ip}, {syscall.IFA_ADDRESS, ip}}
	if a.Addr().Is4() && a.Bits() < 31 {
		all := make([]byte, 4)
		binary.BigEndian.PutUint32(all, binary.BigEndian.Uint32(ip)|(1<<(32-a.Bits())-1))
		out.Attributes = append(out.Attributes, Attribute{syscall.IFA_BROADCAST, all})
	}
	return out
}

// route is the default route by a gateway, or by the device alone: struct rtmsg with
// its attributes.
func (p Pair) route(gw netip.Addr) []byte {
	scope := byte(syscall.RT_SCOPE_UNIVERSE)
	if gw.IsUnspecified() && gw.Is4() {
		scope = syscall.RT_SCOPE_LINK // IPv6 has none
	}
	head := []byte{familyOf(gw), 0, 0, 0, syscall.RT_TABLE_MAIN, syscall.RTPROT_BOOT, scope, syscall.RTN_UNICAST, 0, 0, 0, 0}
	m := message(syscall.RTM_NEWROUTE, head)
	binary.LittleEndian.PutUint16(m[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|syscall.NLM_F_CREATE|syscall.NLM_F_EXCL)
	if !gw.IsUnspecified() {
		m = append(m, encode(Attribute{syscall.RTA_GATEWAY, gw.AsSlice()})...)
	}
	return append(m, encode(Attribute{syscall.RTA_OIF, le32(p.insideIndex())})...)
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return syscall.AF_INET
	}
	return syscall.AF_INET6
}

// whole stores a message's length in its head.
func whole(m []byte) []byte {
	binary.LittleEndian.PutUint32(m, uint32(len(m)))
	return m
}
