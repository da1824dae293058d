package netdevice

import (
	"encoding/binary"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan/call"
)

// Limit bounds what passes a pair, in bits a second; zero is no bound. Both are
// made at the host's end, which a container cannot change whatever it may do.
type Limit struct {
	In  uint64 `json:",omitempty"` // towards the container: a token bucket (tc-tbf(8)) at the end
	Out uint64 `json:",omitempty"` // from it
	// Shaper is a device (ifb) that what comes from the container is sent through, with a
	// token bucket of its own: what a device receives cannot be queued. The kernel does not
	// remove it with the pair. ShaperIndex is a number that no device of the host has.
	Shaper      string `json:",omitempty"`
	ShaperIndex uint32 `json:",omitempty"`
}

// Message is prepared for the kernel's routing socket.
type Message struct {
	Does string // what it does, for a person
	Data []byte
}

// Messages make the limits of a host's end that exists, in their order. A token bucket
// that is there is changed, the rest must not be there.
func (l Limit) Messages(host string, index, mtu uint32) []Message {
	var all []Message
	if l.In > 0 {
		all = append(all, Message{"limit what " + host + " passes on to the container", bucket(index, l.In, mtu)})
	}
	if l.Out > 0 {
		all = append(all,
			Message{"make network device " + l.Shaper + ", which holds back what comes from " + host, l.shaper()},
			Message{"limit what " + l.Shaper + " passes on", bucket(l.ShaperIndex, l.Out, mtu)},
			Message{"take in hand what " + host + " receives", ingress(index)},
			Message{"send it through " + l.Shaper, redirect(index, l.ShaperIndex)},
		)
	}
	return all
}

// limit adds the steps that make a pair's limits.
func (p Pair) limit(c *call.Calls) {
	for _, m := range p.Limit.Messages(p.Host, p.HostIndex, p.MTU) {
		c.Do("%s", m.Does)
		send(c, c.Buffer("limit", m.Data), len(m.Data), missing(syscall.ENOENT), missing(syscall.EOPNOTSUPP))
	}
}

// missing is what the kernel says of a part that it does not have.
func missing(errno syscall.Errno) refusal {
	return refusal{errno, "the kernel lacks a part of what rate limits need: sch_tbf, sch_ingress, ifb, cls_u32, act_mirred"}
}

// Handles of queueing disciplines (linux/pkt_sched.h).
const (
	rootHandle    = 0xffffffff
	ingressParent = 0xfffffff1
	ingressHandle = 0xffff0000
)

// Attributes of traffic control's messages (linux/rtnetlink.h).
const (
	tcaKind    = 1
	tcaOptions = 2
)

// trafficHead is struct tcmsg.
func trafficHead(index, handle, parent, info uint32) []byte {
	head := append(make([]byte, 4), le32(index)...)
	return append(append(append(head, le32(handle)...), le32(parent)...), le32(info)...)
}

// traffic is a message of traffic control; more says whether something may be there.
func traffic(kind uint16, more uint16, head []byte, name string, options []byte) []byte {
	m := message(kind, head)
	binary.LittleEndian.PutUint16(m[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|syscall.NLM_F_CREATE|more)
	m = append(m, encode(Attribute{tcaKind, append([]byte(name), 0)})...)
	if options != nil {
		m = append(m, encode(Attribute{tcaOptions, options})...)
	}
	return whole(m)
}

// Attributes of tbf (linux/pkt_sched.h).
const (
	tbfParms  = 1
	tbfRate64 = 4
	tbfBurst  = 6
)

// bucket makes a token bucket the root of a device. It lets pass at once what the rate
// gives in 10 ms, so that timers are not what bounds a fast one, and a whole packet at least.
// It keeps what the rate gives in 50 ms, which bounds the time that a packet waits.
func bucket(index uint32, rate uint64, mtu uint32) []byte {
	bytes := rate / 8
	least := max(16<<10, 2*uint64(mtu))
	burst := min(max(bytes/100, least), 8<<20)
	limit := burst + min(max(bytes/20, 2*least), 64<<20)
	// struct tc_tbf_qopt: rate and peak rate, each a struct tc_ratespec of 12 bytes
	// that begins with cell_log and linklayer; then limit, buffer and mtu.
	parms := make([]byte, 36)
	parms[1] = 1 // TC_LINKLAYER_ETHERNET: no table of packet sizes
	binary.LittleEndian.PutUint32(parms[8:], uint32(min(bytes, 0xffffffff)))
	binary.LittleEndian.PutUint32(parms[24:], uint32(limit))
	options := encode(Attribute{tbfParms, parms})
	options = append(options, encode(Attribute{tbfRate64, binary.LittleEndian.AppendUint64(nil, bytes)})...)
	options = append(options, encode(Attribute{tbfBurst, le32(uint32(burst))})...)
	return traffic(syscall.RTM_NEWQDISC, syscall.NLM_F_REPLACE, trafficHead(index, 0, rootHandle, 0), "tbf", options)
}

// shaper makes the ifb device.
func (l Limit) shaper() []byte {
	m := message(syscall.RTM_NEWLINK, linkHead(l.ShaperIndex, syscall.IFF_UP, syscall.IFF_UP))
	binary.LittleEndian.PutUint16(m[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|syscall.NLM_F_CREATE|syscall.NLM_F_EXCL)
	m = append(m, encode(Attribute{syscall.IFLA_IFNAME, append([]byte(l.Shaper), 0)})...)
	info := encode(Attribute{linux.IflaInfoKind, []byte("ifb\x00")})
	return whole(append(m, encode(Attribute{linux.IflaLinkinfo, info})...))
}

// ingress makes the place where received packets can be filtered.
func ingress(index uint32) []byte {
	return traffic(syscall.RTM_NEWQDISC, syscall.NLM_F_EXCL, trafficHead(index, ingressHandle, ingressParent, 0), "ingress", nil)
}

// Attributes of u32, of actions and of mirred (linux/pkt_cls.h, linux/tc_act/tc_mirred.h).
const (
	u32Sel      = 5
	u32Act      = 7
	actKind     = 1
	actOptions  = 2
	mirredParms = 2
	actStolen   = 4
	egressRedir = 1
)

// redirect sends all that a device receives through another one.
func redirect(from, to uint32) []byte {
	sel := make([]byte, 32) // struct tc_u32_sel with one key, which every packet has: nothing of it is compared
	sel[0], sel[2] = 1, 1   // TC_U32_TERMINAL, nkeys
	parms := make([]byte, 28)
	binary.LittleEndian.PutUint32(parms[8:], actStolen)
	binary.LittleEndian.PutUint32(parms[20:], egressRedir)
	binary.LittleEndian.PutUint32(parms[24:], to)
	action := encode(Attribute{actKind, []byte("mirred\x00")})
	action = append(action, encode(Attribute{actOptions, encode(Attribute{mirredParms, parms})})...)
	options := encode(Attribute{u32Sel, sel})
	options = append(options, encode(Attribute{u32Act, encode(Attribute{1, action})})...)
	const priority, allProtocols = 1 << 16, 0x0300 // ETH_P_ALL, big endian
	return traffic(syscall.RTM_NEWTFILTER, syscall.NLM_F_EXCL, trafficHead(from, 0, ingressHandle, priority|allProtocols), "u32", options)
}
