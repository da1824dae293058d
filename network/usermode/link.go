package usermode

import (
	"encoding/binary"
	"os"
	"sync"

	"berth/internal/linux/tun"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// MTU is the device's: packets do not leave this machine. Containers have that
	// of their network.
	MTU = 65520
	// maxPacket is the largest packet with its header, also one of many segments.
	maxPacket = tun.HeaderSize + 65535
)

// link joins the stack to the device.
type link struct {
	file    *os.File
	gateway func(tcpip.Address) bool
	buffers sync.Pool // of *[]byte, for packets that are written

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher // guarded by mu
	reading    sync.WaitGroup
}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)

func newLink(file *os.File, gateway func(tcpip.Address) bool) *link {
	l := &link{file: file, gateway: gateway}
	l.buffers.New = func() any {
		b := make([]byte, 0, maxPacket)
		return &b
	}
	return l
}

// Attach implements stack.LinkEndpoint: packets are read from then on.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d != nil && l.dispatcher == nil {
		l.reading.Go(func() { l.read(d) })
	}
	l.dispatcher = d
}

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

// read hands packets to the stack until the file is closed.
func (l *link) read(d stack.NetworkDispatcher) {
	b := make([]byte, maxPacket)
	for {
		n, err := l.file.Read(b)
		if err != nil {
			return
		}
		if n <= tun.HeaderSize {
			continue
		}
		packet := b[tun.HeaderSize:n]
		proto, ok := l.accepts(packet)
		if !ok {
			continue
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
		// The kernel has checked what came to it; what a container made itself has
		// not left the machine.
		pkt.RXChecksumValidated = true
		d.DeliverNetworkPacket(proto, pkt)
		pkt.DecRef()
	}
}

// accepts says of which protocol a packet is. Only TCP and UDP are led on. The
// stack, which stands for all addresses, must not answer for others what it answers for
// itself: a ping would always succeed.
func (l *link) accepts(packet []byte) (tcpip.NetworkProtocolNumber, bool) {
	switch header.IPVersion(packet) {
	case header.IPv4Version:
		if len(packet) < header.IPv4MinimumSize {
			return 0, false
		}
		h := header.IPv4(packet)
		return ipv4.ProtocolNumber, l.leads(h.Protocol(), h.DestinationAddress())
	case header.IPv6Version:
		if len(packet) < header.IPv6MinimumSize {
			return 0, false
		}
		h := header.IPv6(packet)
		return ipv6.ProtocolNumber, l.leads(h.NextHeader(), h.DestinationAddress())
	}
	return 0, false
}

func (l *link) leads(protocol uint8, to tcpip.Address) bool {
	return protocol == uint8(header.TCPProtocolNumber) || protocol == uint8(header.UDPProtocolNumber) ||
		protocol == header.IPv6FragmentHeader || l.gateway(to)
}

// WritePackets implements stack.LinkWriter.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	written := 0
	for _, pkt := range list.AsSlice() {
		b := l.buffers.Get().(*[]byte) //nolint:errcheck // only these are in it
		*b = encode((*b)[:0], pkt)
		_, err := l.file.Write(*b)
		l.buffers.Put(b)
		if err != nil {
			return written, &tcpip.ErrClosedForSend{} // the device is gone
		}
		written++
	}
	return written, nil
}

// encode appends the device's header and a packet.
func encode(b []byte, pkt *stack.PacketBuffer) []byte {
	b = append(b, make([]byte, tun.HeaderSize)...)
	h := b[:tun.HeaderSize]
	if o := pkt.GSOOptions; o.Type != stack.GSONone {
		binary.NativeEndian.PutUint16(h[2:], uint16(pkt.HeaderSize()))
		if o.NeedsCsum {
			h[0] = tun.NeedsChecksum
			binary.NativeEndian.PutUint16(h[6:], o.L3HdrLen)
			binary.NativeEndian.PutUint16(h[8:], o.CsumOffset)
		}
		if pkt.Data().Size() > int(o.MSS) {
			h[1] = tun.TCP4
			if o.Type == stack.GSOTCPv6 {
				h[1] = tun.TCP6
			}
			binary.NativeEndian.PutUint16(h[4:], o.MSS)
		}
	}
	for _, s := range pkt.AsSlices() {
		b = append(b, s...)
	}
	return b
}

// Wait implements stack.LinkEndpoint.
func (l *link) Wait() { l.reading.Wait() }

// Close implements stack.LinkEndpoint: the device is gone.
func (l *link) Close() { _ = l.file.Close() } // packets may be lost anywhere

// MTU implements stack.LinkEndpoint.
func (l *link) MTU() uint32 { return MTU }

// SetMTU implements stack.LinkEndpoint.
func (l *link) SetMTU(uint32) {}

// MaxHeaderLength implements stack.LinkEndpoint.
func (l *link) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements stack.LinkEndpoint.
func (l *link) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress implements stack.LinkEndpoint.
func (l *link) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities implements stack.LinkEndpoint.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

// ARPHardwareType implements stack.LinkEndpoint.
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader implements stack.LinkEndpoint.
func (l *link) AddHeader(*stack.PacketBuffer) {}

// ParseHeader implements stack.LinkEndpoint.
func (l *link) ParseHeader(*stack.PacketBuffer) bool { return true }

// SetOnCloseAction implements stack.LinkEndpoint.
func (l *link) SetOnCloseAction(func()) {}

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 {
	return 65535 - header.IPv6MinimumSize - header.TCPHeaderMaximumSize
}

// SupportedGSO implements stack.GSOEndpoint.
func (l *link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }
