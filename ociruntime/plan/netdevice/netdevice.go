// Package netdevice makes the steps that give a container network devices, ones of
// the host or new pairs: prepared messages for the kernel's routing socket
// (rtnetlink(7)).
//
//	from the host's namespace    the device, its new name and number
//	in the container's           its addresses, which a move loses; up; routes
//
// Level: R.
// Owns: these messages.
// May import: ociruntime/plan/call, ociruntime/program, internal/linux.
// Must not know: how the devices of a host are found.
package netdevice

import (
	"encoding/binary"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
	"berth/ociruntime/program"
)

// Device is a network device of the host.
type Device struct {
	// Name is the host's name for it, NewName the container's; "eth%d" lets the
	// kernel choose a number.
	Name, NewName string
	// Index is the host's number for it.
	Index uint32
	// Addresses are those that it keeps.
	Addresses []Address
}

// Address is an address of a device: the head of an ifaddrmsg and the
// attributes that say where it is.
type Address struct {
	Family, PrefixLen, Flags uint8
	Attributes               []Attribute
}

// Attribute is an attribute of a message, such as IFA_LOCAL.
type Attribute struct {
	Type uint16
	Data []byte
}

// firstIndex is added to the host's numbers of devices: so they are known before
// the move, and the devices that a new namespace begins with have lower ones.
const firstIndex = 1 << 16

// Move moves the devices into the namespace whose file open puts into a slot.
func Move(c *call.Calls, devices []Device, open func(to program.Slot)) {
	for _, d := range devices {
		c.Do("move network device %s into the container as %s", d.Name, d.NewName)
		m := message(syscall.RTM_NEWLINK, linkHead(d.Index, 0, 0))
		m = append(m, encode(Attribute{syscall.IFLA_IFNAME, append([]byte(d.NewName), 0)})...)
		m = append(m, encode(Attribute{linux.IflaNewIfindex, le32(firstIndex + d.Index)})...)
		file := len(m) + 4 // of the namespace; its number comes when the step runs
		m = append(m, encode(Attribute{linux.IflaNetNsFd, le32(0)})...)
		buf := c.Buffer("move", append(whole(m), 0, 0, 0, 0)) // the number is stored as a word
		open(buf.Slot(file))
		send(c, buf, len(m))
		c.Call("close", syscall.SYS_CLOSE, buf.Slot(file).Value())
	}
}

// SetUp gives the devices their addresses again and sets them up, by a process
// that is in their new namespace.
func SetUp(c *call.Calls, devices []Device) {
	for _, d := range devices {
		c.Do("set network device %s up", d.NewName)
		for _, a := range d.Addresses {
			head := append([]byte{a.Family, a.PrefixLen, a.Flags, 0}, le32(firstIndex+d.Index)...) // struct ifaddrmsg
			m := message(syscall.RTM_NEWADDR, head)
			for _, attr := range a.Attributes {
				m = append(m, encode(attr)...)
			}
			send(c, c.Buffer("address", whole(m)), len(m))
		}
		m := message(syscall.RTM_NEWLINK, linkHead(firstIndex+d.Index, syscall.IFF_UP, syscall.IFF_UP))
		send(c, c.Buffer("up", m), len(m))
	}
}

// refusal is an error that the kernel may answer with, and what it means.
type refusal struct {
	errno  syscall.Errno
	remedy string
}

// send sends a message over a socket of its own, and ends the program if the
// kernel does not take it. The answer is a struct nlmsgerr behind a header: an
// errno and the length of the message that it is about, in one word.
func send(c *call.Calls, buf program.Buffer, size int, more ...refusal) {
	sock, zero := c.Slot("route"), program.Int(0)
	c.Call("socket", syscall.SYS_SOCKET, program.Flags(syscall.AF_NETLINK, "AF_NETLINK"), program.Flags(syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, "SOCK_RAW"), program.Flags(syscall.NETLINK_ROUTE, "NETLINK_ROUTE")).To(sock)
	c.Call("sendto", syscall.SYS_SENDTO, sock.Value(), buf.At(0), program.Int(size), zero, zero, zero)
	answer := c.Buffer("answer", make([]byte, 64))
	c.Call("recvfrom", syscall.SYS_RECVFROM, sock.Value(), answer.At(0), program.Int(64), zero, zero, zero)
	c.Call("close", syscall.SYS_CLOSE, sock.Value())
	said := func(e syscall.Errno) program.Arg {
		return program.Flags(uint64(uint32(-int32(e)))|uint64(size)<<32, e.Error())
	}
	got, good := answer.Slot(16).Value(), c.Label("done")
	c.IfEqual(got, said(0), good)
	for _, why := range append(more, []refusal{
		{syscall.EEXIST, "a device there has that name or address"},
		{syscall.ENODEV, "the host has no such device any more"},
		{syscall.EINVAL, "the device is one that stays where it is, or the name is none for a device"},
		{syscall.EBUSY, "a device is a parent of macvlans or of ipvlans or a port of a bridge, never two of them"},
		{syscall.EOPNOTSUPP, "the kernel is built without this kind of device"},
		{syscall.EADDRINUSE, "another device of the same parent has this address"},
	}...) {
		is, other := c.Label(why.errno.Error()), c.Label("not "+why.errno.Error())
		c.IfEqual(got, said(why.errno), is)
		c.Goto(other)
		c.Place(is)
		c.Remedy("%s", why.remedy)
		c.Fail(why.errno)
		c.Place(other)
	}
	c.Remedy("the kernel refuses, see ip(8)")
	c.No()
	c.Place(good)
}

// message begins a message that asks for an answer: struct nlmsghdr and the head
// of its kind. The length is that of the whole if nothing follows.
func message(kind uint16, head []byte) []byte {
	le := binary.LittleEndian
	m := le.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(head)))
	m = le.AppendUint16(m, kind)
	m = le.AppendUint16(m, syscall.NLM_F_REQUEST|syscall.NLM_F_ACK)
	m = append(m, make([]byte, 8)...) // number, sender
	return append(m, head...)
}

// linkHead is struct ifinfomsg.
func linkHead(index, flags, change uint32) []byte {
	head := append(make([]byte, 4), le32(index)...)
	return append(append(head, le32(flags)...), le32(change)...)
}

// encode is an attribute in a message: struct rtattr, at a multiple of four bytes.
func encode(a Attribute) []byte {
	le := binary.LittleEndian
	out := le.AppendUint16(nil, uint16(4+len(a.Data)))
	out = append(le.AppendUint16(out, a.Type), a.Data...)
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	return out
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

func le16(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
