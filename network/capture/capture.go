// Package capture reads the packets of a network device and writes them as a pcap file.
//
// Level: L2, a subroom of network.
// Owns: packet sockets, their filters, the file's format.
// May import: golang.org/x/net/bpf, containerd/errdefs, internal/linux.
// Must not know: whose device it is, who reads the file.
//
// The format is the classic one with times in nanoseconds, 24 bytes and 16 for each packet
// (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap): tcpdump and Wireshark read it while it is written.
package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
)

const (
	// MaxSnaplen is the most that is kept of a packet, as in tcpdump.
	MaxSnaplen = 256 << 10
	// socketBuffer is what the kernel keeps while nobody reads: some 10,000 packets of 1500 bytes.
	socketBuffer = 32 << 20
	// batch is written at once, if so much is there.
	batch = 128 << 10
)

// Options say what is captured.
type Options struct {
	Snaplen int    // bytes that are kept of a packet; zero: MaxSnaplen
	Count   uint64 // packets after which it ends; zero: no bound
	Filter  Filter
}

// Stats are what was captured, and what there was no room for.
type Stats struct{ Captured, Dropped uint64 }

// Capture is a socket that gets the packets of a device from now on.
type Capture struct {
	o    Options
	f    *os.File
	buf  []byte // a packet, with room for a tag
	oob  [256]byte
	st   Stats
	down bool // the device is gone
}

// Open begins to capture at the device with this index in the network namespace of the
// calling thread: what it receives and what it sends. Close it. Class InvalidArgument for bad options.
func Open(index int, o Options) (_ *Capture, err error) {
	if o.Snaplen == 0 {
		o.Snaplen = MaxSnaplen
	}
	if o.Snaplen < 1 || o.Snaplen > MaxSnaplen {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("snaplen %d: it is 1 to %d bytes", o.Snaplen, MaxSnaplen))
	}
	filter, err := o.Filter.compile(uint32(o.Snaplen)) //nolint:gosec // bounded above
	if err != nil {
		return nil, err
	}
	// Without a protocol it gets nothing before it is bound to the device.
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket AF_PACKET", err)
	}
	f := os.NewFile(uintptr(fd), "packet socket")
	if err := prepare(fd, index, filter); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Capture{o: o, f: f, buf: make([]byte, MaxSnaplen+tagSize)}, nil
}

// packetAuxdata is packet(7)'s PACKET_AUXDATA: the real length, and a VLAN's tag.
const packetAuxdata = 8

func prepare(fd, index int, filter []syscall.SockFilter) error {
	for _, o := range []struct {
		level, name, value int
		what               string
	}{
		{syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, socketBuffer, "SO_RCVBUFFORCE"},
		{syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS"},
		{syscall.SOL_PACKET, packetAuxdata, 1, "PACKET_AUXDATA"},
	} {
		if err := syscall.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.what, err)
		}
	}
	if err := syscall.AttachLsf(fd, filter); err != nil { //nolint:staticcheck // the package that replaces it is internal/linux's
		return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
	}
	const all = 0x0300 // ETH_P_ALL, big endian
	err := syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: all, Ifindex: index})
	if errors.Is(err, syscall.ENODEV) {
		return errdefs.ErrConflict.WithMessage("the network device is gone: its container has ended")
	}
	return os.NewSyscallError("bind a packet socket", err)
}

// Close ends the capture.
func (c *Capture) Close() error { return c.f.Close() }

// Copy writes the file until the device is gone, the count is reached, ctx ends or w fails.
// Only the last is an error.
func (c *Capture) Copy(ctx context.Context, w io.Writer) (Stats, error) {
	defer context.AfterFunc(ctx, func() { _ = c.f.SetReadDeadline(time.Unix(1, 0)) })()
	raw, err := c.f.SyscallConn()
	if err != nil {
		return c.st, err
	}
	out := header(uint32(c.o.Snaplen)) //nolint:gosec // bounded by Open
	for {
		if _, err := w.Write(out); err != nil {
			return c.stats(raw), err
		}
		if c.down || ctx.Err() != nil || c.full() {
			return c.stats(raw), nil
		}
		var readErr error
		out = out[:0]
		err := raw.Read(func(fd uintptr) bool {
			out, readErr = c.take(int(fd), out)
			return len(out) > 0 || c.down || readErr != nil
		})
		if err = errors.Join(readErr, err); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return c.stats(raw), err
		}
	}
}

func (c *Capture) full() bool { return c.o.Count > 0 && c.st.Captured >= c.o.Count }

func (c *Capture) stats(raw syscall.RawConn) Stats {
	_ = raw.Control(func(fd uintptr) { // a closed one has no more to tell
		if _, dropped, err := linux.PacketStatistics(int(fd)); err == nil {
			c.st.Dropped += uint64(dropped)
		}
	})
	return c.st
}

// take appends the packets that are there to out.
func (c *Capture) take(fd int, out []byte) ([]byte, error) {
	for len(out) < batch && !c.full() {
		n, oobn, _, _, err := syscall.Recvmsg(fd, c.buf[tagSize:], c.oob[:], 0)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return out, nil
		case errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
			c.down = true
			return out, nil
		case err != nil:
			return out, os.NewSyscallError("recvmsg", err)
		}
		about, err := parse(c.oob[:oobn])
		if err != nil {
			return out, err
		}
		out = c.record(out, n, about)
		c.st.Captured++
	}
	return out, nil
}

// record appends the packet of n bytes in the buffer.
func (c *Capture) record(out []byte, n int, about meta) []byte {
	packet := c.buf[tagSize : tagSize+n]
	length := max(about.length, uint32(n)) //nolint:gosec // bounded by the buffer
	if about.tagged && n >= addressesSize {
		// The kernel keeps a VLAN's tag beside the packet: it goes back between addresses and type.
		packet = c.buf[:tagSize+n]
		copy(packet, packet[tagSize:tagSize+addressesSize])
		binary.BigEndian.PutUint16(packet[addressesSize:], about.tpid)
		binary.BigEndian.PutUint16(packet[addressesSize+2:], about.tci)
		packet, length = packet[:min(len(packet), c.o.Snaplen)], length+tagSize
	}
	le := binary.LittleEndian
	out = le.AppendUint32(out, uint32(about.time.Unix()))       //nolint:gosec // until 2106
	out = le.AppendUint32(out, uint32(about.time.Nanosecond())) //nolint:gosec // below 10^9
	out = le.AppendUint32(out, uint32(len(packet)))             //nolint:gosec // bounded by the buffer
	out = le.AppendUint32(out, length)
	return append(out, packet...)
}

const (
	tagSize       = 4  // of IEEE 802.1Q
	addressesSize = 12 // before it
)

// header is the beginning of the file.
func header(snaplen uint32) []byte {
	le := binary.LittleEndian
	h := le.AppendUint32(nil, 0xa1b23c4d) // times in nanoseconds
	h = le.AppendUint16(h, 2)             // version
	h = le.AppendUint16(h, 4)
	h = append(h, make([]byte, 8)...) // time zone, accuracy: not used
	h = le.AppendUint32(h, snaplen)
	return le.AppendUint32(h, 1) // Ethernet
}

// meta is what the kernel says beside a packet.
type meta struct {
	time      time.Time
	length    uint32 // on the wire
	tagged    bool
	tci, tpid uint16
}

// Bits of struct tpacket_auxdata's status (linux/if_packet.h).
const (
	statusVLAN     = 1 << 4
	statusVLANTPID = 1 << 6
)

func parse(oob []byte) (meta, error) {
	m := meta{time: time.Now()}
	all, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return m, fmt.Errorf("read what the kernel says of a packet: %w", err)
	}
	ne := binary.NativeEndian
	for _, one := range all {
		switch {
		case one.Header.Level == syscall.SOL_SOCKET && one.Header.Type == syscall.SO_TIMESTAMPNS && len(one.Data) >= 16:
			m.time = time.Unix(int64(ne.Uint64(one.Data)), int64(ne.Uint64(one.Data[8:]))) //nolint:gosec // struct timespec
		case one.Header.Level == syscall.SOL_PACKET && one.Header.Type == packetAuxdata && len(one.Data) >= 20:
			status := ne.Uint32(one.Data)
			m.length = ne.Uint32(one.Data[4:])
			m.tagged = status&statusVLAN != 0
			m.tci, m.tpid = ne.Uint16(one.Data[16:]), 0x8100
			if status&statusVLANTPID != 0 {
				m.tpid = ne.Uint16(one.Data[18:])
			}
		}
	}
	return m, nil
}

// Device is the index of a device of the calling thread's network namespace.
func Device(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, errdefs.ErrConflict.WithMessage(fmt.Sprintf("network device %s is gone: its container has ended", name))
	}
	return i.Index, nil
}
