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

// Pair is a veth pair to be made: one end on a bridge of the host, the other in
// the container, where it is born: nothing has to be moved (veth(4)).
type Pair struct {
	// Host is the end on the host, HostIndex a number that no device there has.
	Host      string
	HostIndex uint32
	// Bridge is the number of the bridge that the host's end becomes a port of.
	Bridge     uint32
	BridgeName string
	// Isolated: the port's traffic goes to the host only, not to other isolated ones.
	Isolated bool
	// Hairpin: what comes from the port may go back to it, as when a container asks for
	// a port that it publishes itself, on a host whose bridges pass netfilter.
	Hairpin bool
	Limit   Limit
	// Inside is the container's end.
	Inside    string
	MAC       net.HardwareAddr
	MTU       uint32
	Addresses []netip.Prefix
	// Gateways are where everything else is sent, at most one of each family.
	Gateways []netip.Addr
}

// insideIndex is the number of the container's end: free there, as its namespace
// begins with low ones.
func (p Pair) insideIndex() uint32 { return firstIndex + p.HostIndex }

// Make makes the pairs, with their inner ends in the namespace whose file open
// puts into a slot.
func Make(c *call.Calls, pairs []Pair, open func(to program.Slot)) {
	for _, p := range pairs {
		c.Do("make network device %s, on bridge %s as %s", p.Inside, p.BridgeName, p.Host)
		m, file := p.birth()
		buf := c.Buffer("veth", append(m, 0, 0, 0, 0)) // the number is stored as a word
		open(buf.Slot(file))
		send(c, buf, len(m))
		c.Call("close", syscall.SYS_CLOSE, buf.Slot(file).Value())
		var port []byte
		if p.Isolated {
			port = append(port, encode(Attribute{linux.IflaBrportIsolated, []byte{1}})...)
		}
		if p.Hairpin {
			port = append(port, encode(Attribute{linux.IflaBrportMode, []byte{1}})...)
		}
		if len(port) > 0 {
			c.Do("set bridge port %s", p.Host)
			head := linkHead(p.HostIndex, 0, 0)
			head[0] = syscall.AF_BRIDGE
			m := whole(append(message(linux.RtmSetlink, head), encode(Attribute{linux.IflaProtinfo | linux.NlaFNested, port})...))
			send(c, c.Buffer("port", m), len(m))
		}
		p.limit(c)
	}
}

// birth is the message that makes the pair; at file lies the number of the
// namespace's file, which comes last.
func (p Pair) birth() (m []byte, file int) {
	mtu := encode(Attribute{syscall.IFLA_MTU, le32(p.MTU)})
	peer := linkHead(p.insideIndex(), 0, 0)
	peer = append(peer, encode(Attribute{syscall.IFLA_IFNAME, append([]byte(p.Inside), 0)})...)
	peer = append(peer, mtu...)
	peer = append(peer, encode(Attribute{syscall.IFLA_ADDRESS, p.MAC})...)
	peer = append(peer, encode(Attribute{linux.IflaNetNsFd, le32(0)})...)
	data := encode(Attribute{linux.VethInfoPeer, peer})
	info := encode(Attribute{linux.IflaInfoKind, []byte("veth\x00")})
	info = append(info, encode(Attribute{linux.IflaInfoData, data})...)

	m = message(syscall.RTM_NEWLINK, linkHead(p.HostIndex, syscall.IFF_UP, syscall.IFF_UP))
	binary.LittleEndian.PutUint16(m[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|syscall.NLM_F_CREATE|syscall.NLM_F_EXCL)
	m = append(m, encode(Attribute{syscall.IFLA_IFNAME, append([]byte(p.Host), 0)})...)
	m = append(m, mtu...)
	m = append(m, encode(Attribute{syscall.IFLA_MASTER, le32(p.Bridge)})...)
	m = whole(append(m, encode(Attribute{linux.IflaLinkinfo, info})...))
	return m, len(m) - 4
}

// Configure gives the inner ends their addresses and routes and sets them up, by
// a process that is in their namespace.
func Configure(c *call.Calls, pairs []Pair) {
	for _, p := range pairs {
		d := Device{Name: p.Host, NewName: p.Inside, Index: p.HostIndex}
		for _, a := range p.Addresses {
			d.Addresses = append(d.Addresses, addressOf(a))
		}
		SetUp(c, []Device{d})
		for _, gw := range p.Gateways {
			c.Do("route everything else by %s", gw)
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

// route is the default route by a gateway: struct rtmsg with its attributes.
func (p Pair) route(gw netip.Addr) []byte {
	head := []byte{familyOf(gw), 0, 0, 0, syscall.RT_TABLE_MAIN, syscall.RTPROT_BOOT, syscall.RT_SCOPE_UNIVERSE, syscall.RTN_UNICAST, 0, 0, 0, 0}
	m := message(syscall.RTM_NEWROUTE, head)
	binary.LittleEndian.PutUint16(m[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|syscall.NLM_F_CREATE|syscall.NLM_F_EXCL)
	m = append(m, encode(Attribute{syscall.RTA_GATEWAY, gw.AsSlice()})...)
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
