package firewall

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"github.com/google/nftables/expr"
)

// Words that rules are made of. Each is, expression by expression, what nft
// makes of the text in its comment; so nft lists our rules in that text.

// Registers have 16 bytes. Each is four of 4 bytes, too; those are numbered from 8.
const (
	reg1  = 1
	reg2  = 2  // bytes 16 to 31
	word1 = 9  // bytes 4 to 7
	word2 = 10 // bytes 8 to 11
	word5 = 13 // bytes 20 to 23
)

// family is a protocol family with its addresses.
type family byte

const (
	ip4 family = syscall.AF_INET
	ip6 family = syscall.AF_INET6
)

// side of a packet or of the host.
type side int

const (
	source side = iota
	destination
)

const (
	iif = expr.MetaKeyIIFNAME
	oif = expr.MetaKeyOIFNAME
)

// iifname != "name"
func iifnameIsNot(name string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: iif, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: ifname(name)},
	}
}

// iifname @set, oifname @set
func in(key expr.MetaKey, set string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: reg1}, &expr.Lookup{SourceRegister: reg1, SetName: set}}
}

// iifname != @set, oifname != @set
func notIn(key expr.MetaKey, set string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: reg1}, &expr.Lookup{SourceRegister: reg1, SetName: set, Invert: true}}
}

// iifname . oifname @within: the kernel compares a value with constants only, not
// two interfaces with each other.
func withinBridge() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: iif, Register: reg1},
		&expr.Meta{Key: oif, Register: reg2},
		&expr.Lookup{SourceRegister: reg1, SetName: setWithin},
	}
}

// what nft puts in front of a match of an IPv4 or IPv6 header in family inet
func (f family) only() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{byte(f)}},
	}
}

// address loads a packet's address into reg1.
func (f family) address(s side) *expr.Payload {
	p := &expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}
	if f == ip6 {
		p.Offset, p.Len = 8, 16
	}
	if s == destination {
		p.Offset += p.Len
	}
	return p
}

// ip saddr 127.0.0.0/8, ip daddr 127.0.0.0/8
func loopback4(s side) []expr.Any {
	first := ip4.address(s)
	first.Len = 1
	return append(ip4.only(), first, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{127}})
}

// ip6 daddr ::1
func toLoopback6() []expr.Any {
	return append(ip6.only(), ip6.address(destination),
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: netip.IPv6Loopback().AsSlice()})
}

// ip saddr @set, ip6 saddr @set
func sourceIn(f family, set string) []expr.Any {
	return append(f.only(), f.address(source), &expr.Lookup{SourceRegister: reg1, SetName: set})
}

// oifname . ip saddr @set, oifname . ip6 saddr @set: in postrouting there is no iifname.
func fromHome(f family, set string) []expr.Any {
	address := f.address(source)
	address.DestRegister = reg2
	return append(
		f.only(),
		&expr.Meta{Key: oif, Register: reg1},
		address,
		&expr.Lookup{SourceRegister: reg1, SetName: set},
	)
}

// oifname . ip daddr @set, oifname . ip6 daddr @set; or the same for the source and iifname.
func at(f family, key expr.MetaKey, s side, set string) []expr.Any {
	address := f.address(s)
	address.DestRegister = reg2
	return append(f.only(), &expr.Meta{Key: key, Register: reg1}, address, &expr.Lookup{SourceRegister: reg1, SetName: set})
}

// fib daddr type local
func toLocalAddress() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: native(syscall.RTN_LOCAL)},
	}
}

// ct status dnat
func dnatted() []expr.Any {
	const ipsDstNAT = 1 << 5 // linux/netfilter/nf_conntrack_common.h
	return hasBit(expr.CtKeySTATUS, ipsDstNAT)
}

// ct state established,related
func establishedOrRelated() []expr.Any {
	return hasBit(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

func hasBit(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: native(bits), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: native(0)},
	}
}

// dnat ip to meta l4proto . th dport map @set
func publishedEverywhere(f family, set string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		destinationPort(word1),
		&expr.Lookup{SourceRegister: reg1, SetName: set, DestRegister: reg1, IsDestRegSet: true},
		f.dnat(),
	}
}

// dnat ip to ip daddr . meta l4proto . th dport map @set
func publishedAt(f family, set string) []expr.Any {
	proto, port := uint32(word1), uint32(word2)
	if f == ip6 {
		proto, port = reg2, word5
	}
	return append(
		f.only(),
		f.address(destination),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: proto},
		destinationPort(port),
		&expr.Lookup{SourceRegister: reg1, SetName: set, DestRegister: reg1, IsDestRegSet: true},
		f.dnat(),
	)
}

// th dport: at the same place in TCP, UDP and SCTP
func destinationPort(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

// dnat to the address and port that a lookup has put into reg1 and what follows it
func (f family) dnat() expr.Any {
	port := uint32(word1)
	if f == ip6 {
		port = reg2
	}
	return &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f), RegAddrMin: reg1, RegProtoMin: port}
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

func drop() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }

func leave() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}} }

func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
