package capture

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/net/bpf"
)

// Filter says which packets are wanted; of those that a field is set for, all must fit.
type Filter struct {
	Protocol string     // tcp, udp, sctp or icmp (of both families)
	Host     netip.Addr // source or destination
	Port     uint16     // source or destination
}

// Where something is in a packet with an Ethernet header.
const (
	typeAt     = 12
	ip4At      = 14
	ip4ProtoAt = ip4At + 9
	ip4FragAt  = ip4At + 6
	ip4Source  = ip4At + 12
	ip6At      = 14
	ip6NextAt  = ip6At + 6
	ip6Source  = ip6At + 8
	ip6PortAt  = ip6At + 40
	typeIPv4   = 0x0800
	typeIPv6   = 0x86dd
)

// compile makes the kernel's program: the number of bytes that are kept, or 0. A packet
// that is too short for a look at it is not wanted.
func (f Filter) compile(snaplen uint32) ([]syscall.SockFilter, error) {
	program, err := f.program(snaplen)
	if err != nil {
		return nil, err
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble the filter: %w", err)
	}
	out := make([]syscall.SockFilter, len(raw))
	for i, r := range raw {
		out[i] = syscall.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return out, nil
}

func (f Filter) program(snaplen uint32) ([]bpf.Instruction, error) {
	keep, drop := bpf.RetConstant{Val: snaplen}, bpf.RetConstant{}
	if f == (Filter{}) {
		return []bpf.Instruction{keep}, nil
	}
	v4, v6, err := f.protocols()
	if err != nil {
		return nil, err
	}
	four := f.family(ip4ProtoAt, v4)
	four = append(four, f.host(true)...)
	if f.Port != 0 {
		// Only the first fragment has ports.
		four = append(four, bpf.LoadAbsolute{Off: ip4FragAt, Size: 2}, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: 0x1fff, SkipTrue: 1}, drop,
			bpf.LoadMemShift{Off: ip4At})
		four = append(four, either(bpf.LoadIndirect{Off: ip4At, Size: 2}, bpf.LoadIndirect{Off: ip4At + 2, Size: 2}, f.Port)...)
	}
	four = append(four, keep)
	six := f.family(ip6NextAt, v6)
	six = append(six, f.host(false)...)
	if f.Port != 0 {
		six = append(six, either(bpf.LoadAbsolute{Off: ip6PortAt, Size: 2}, bpf.LoadAbsolute{Off: ip6PortAt + 2, Size: 2}, f.Port)...)
	}
	six = append(six, keep)

	all := []bpf.Instruction{
		bpf.LoadAbsolute{Off: typeAt, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: typeIPv4, SkipTrue: uint8(len(four))}, //nolint:gosec // some 30
	}
	all = append(all, four...)
	all = append(all, bpf.JumpIf{Cond: bpf.JumpEqual, Val: typeIPv6, SkipTrue: 1}, drop)
	return append(all, six...), nil
}

// protocols are the numbers that may be in a header of IPv4 and IPv6; none: any.
func (f Filter) protocols() (v4, v6 []uint32, err error) {
	const icmp4, tcp, udp, icmp6, sctp = 1, 6, 17, 58, 132
	ports := []uint32{tcp, udp, sctp}
	switch f.Protocol {
	case "tcp":
		return ports[:1], ports[:1], nil
	case "udp":
		return ports[1:2], ports[1:2], nil
	case "sctp":
		return ports[2:], ports[2:], nil
	case "icmp":
		if f.Port != 0 {
			return nil, nil, errdefs.ErrInvalidArgument.WithMessage("icmp has no ports: leave one of the two out")
		}
		return []uint32{icmp4}, []uint32{icmp6}, nil
	case "":
		if f.Port != 0 {
			return ports, ports, nil
		}
		return nil, nil, nil
	}
	return nil, nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("protocol %.20q is unknown: use tcp, udp, sctp or icmp", f.Protocol))
}

// family checks the protocol's number.
func (f Filter) family(at uint32, numbers []uint32) []bpf.Instruction {
	if len(numbers) == 0 {
		return nil
	}
	all := []bpf.Instruction{bpf.LoadAbsolute{Off: at, Size: 1}}
	for i, n := range numbers {
		all = append(all, bpf.JumpIf{Cond: bpf.JumpEqual, Val: n, SkipTrue: uint8(len(numbers) - i)}) //nolint:gosec // at most 3
	}
	return append(all, bpf.RetConstant{})
}

// host checks that an address is the source or the destination.
func (f Filter) host(four bool) []bpf.Instruction {
	a := f.Host.Unmap()
	switch {
	case !a.IsValid():
		return nil
	case a.Is4() != four:
		return []bpf.Instruction{bpf.RetConstant{}}
	}
	at := uint32(ip4Source)
	if !four {
		at = ip6Source
	}
	b := a.AsSlice()
	words := len(b) / 4
	var all []bpf.Instruction
	for side := range 2 { // all words of one side are equal, or the next one is tried
		for i := range words {
			all = append(all,
				bpf.LoadAbsolute{Off: at + uint32(len(b)*side+4*i), Size: 4},                                                  //nolint:gosec // below 100
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(b[4*i:]), SkipTrue: uint8(2*(words-1-i) + 1)}) //nolint:gosec // below 10
		}
		if side == 0 {
			all = append(all, bpf.Jump{Skip: uint32(2*words + 2)}) //nolint:gosec // at most 10
		} else {
			all = append(all, bpf.Jump{Skip: 1}, bpf.RetConstant{})
		}
	}
	return all
}

// either checks that one of two loads gives the port.
func either(source, destination bpf.Instruction, port uint16) []bpf.Instruction {
	return []bpf.Instruction{
		source, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 3},
		destination, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{},
	}
}
