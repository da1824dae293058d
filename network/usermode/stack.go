// Package usermode joins a network namespace of an ordinary user's to the host's
// network, without any privilege there: what containers send is read as packets from
// a device, and goes on as the connections of an ordinary program; connections to
// published ports are made into packets again.
//
// Level: L2, a subroom of network.
// Owns: the stack of protocols between the two, the protocol by which the daemon inside asks for ports and connections.
// May import: gvisor.dev/gvisor (its only importer), internal/linux/tun, the standard library.
// Must not know: containers, networks, rules.
//
// # Two sides
//
// The daemon outside has a [Server]: the host's network and no rights. The daemon inside has a
// [Client]: root of its namespaces, and no way out. A pair of sockets joins them (wire.go), over which
// the inside hands its device out, and asks for ports to be opened.
//
//	container ── bridge, nftables ── uplink0 ║ stack ── sockets of the host
//	             inside                      ║ outside
//
// Every connection ends here twice: the inside's kernel and the stack agree on one, and a
// socket of the host's on the other. The first is answered as the second was, so that "refused"
// stays "refused". Where a client connects to a published port, the stack speaks to the inside with
// the client's address.
package usermode

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// nic is the number of the stack's one device.
const nic = 1

// Limits of what the inside can make this process hold.
const (
	maxDialing = 1024 // connections that are being made
	maxConns   = 16384
	maxFlows   = 4096 // of UDP
)

// bufferMax bounds what a connection holds in each direction, in bytes.
const bufferMax = 4 << 20

// side is the stack with what goes through it.
type side struct {
	stack *stack.Stack
	link  *link
	plan  Plan
	conf  string // the host's resolv.conf
	log   *slog.Logger

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	conns   chan struct{} // a place for each connection
	flows   chan struct{} // and for each flow of UDP
	working sync.WaitGroup
	buffers sync.Pool // of *[]byte: those of copyAll that nobody uses
}

// newSide starts the stack on the device, which is its own from now on.
func newSide(ctx context.Context, device *os.File, plan Plan, resolvConf string, log *slog.Logger) (*side, error) {
	s := &side{
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
		}),
		plan: plan, conf: resolvConf, log: log,
		conns: make(chan struct{}, maxConns), flows: make(chan struct{}, maxFlows),
	}
	s.ctx, s.stop = context.WithCancel(ctx)
	s.link = newLink(device, func(a tcpip.Address) bool { return plan.isGateway(addrOf(a)) })
	if err := s.configure(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *side) configure() error {
	sack, grow := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: bufferMax}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: bufferMax}
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &grow, &send, &receive} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("set up the network of a user: option %T: %s", o, err)
		}
	}
	if err := s.stack.CreateNIC(nic, s.link); err != nil {
		return fmt.Errorf("set up the network of a user: device: %s", err)
	}
	for _, a := range []netip.Addr{s.plan.Gateway4(), s.plan.Gateway6()} {
		address := tcpip.ProtocolAddress{Protocol: protocolOf(a), AddressWithPrefix: tcpAddr(a).WithPrefix()}
		if err := s.stack.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("set up the network of a user: address %s: %s", a, err)
		}
	}
	// It takes packets to, and sends packets from, every address.
	for _, err := range []tcpip.Error{s.stack.SetPromiscuousMode(nic, true), s.stack.SetSpoofing(nic, true)} {
		if err != nil {
			return fmt.Errorf("set up the network of a user: %s", err)
		}
	}
	s.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	connections := tcp.NewForwarder(s.stack, 0, maxDialing, s.connect)
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, connections.HandlePacket)
	datagrams := udp.NewForwarder(s.stack, s.datagram)
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, datagrams.HandlePacket)
	return nil
}

// close ends everything that goes through.
func (s *side) close() {
	s.stop()
	s.link.Close()
	s.stack.Destroy()
	s.working.Wait()
}

// enter takes a place, or says that there is none.
func enter(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		return false
	}
}

func addrOf(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

func tcpAddr(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func fullAddr(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpAddr(a.Addr()), Port: a.Port()}
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// target is where a packet of the inside's wants to go.
func target(id stack.TransportEndpointID) netip.AddrPort {
	return netip.AddrPortFrom(addrOf(id.LocalAddress), id.LocalPort)
}
