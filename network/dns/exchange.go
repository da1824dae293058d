package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// ask is a question to upstream servers.
type ask struct {
	name       string // lower case, with the last dot
	qtype      uint16
	rd, cd, ad bool
	edns, do   bool
	attempts   int // how often a silent server is asked
}

// errSilent is a server that did not answer in time.
var errSilent = errors.New("no answer")

// message packs the question under an id by chance: with the port by chance that
// the kernel chooses for each socket, about 31 bits that a forged answer must
// guess.
func (a *ask) message() (wire []byte, id uint16, err error) {
	var random [2]byte
	_, _ = rand.Read(random[:]) // it never returns an error
	id = binary.BigEndian.Uint16(random[:])
	m := &dns.Msg{
		MsgHdr:   dns.MsgHdr{Id: id, RecursionDesired: a.rd, CheckingDisabled: a.cd, AuthenticatedData: a.ad},
		Question: []dns.Question{{Name: a.name, Qtype: a.qtype, Qclass: dns.ClassINET}},
	}
	if a.edns {
		m.SetEdns0(maxUDP, a.do)
	}
	wire, err = m.Pack()
	return wire, id, err
}

// read takes a message for the answer to the question asked under id, or returns
// nil. What is cut in the middle of a record counts as truncated before it.
func (a *ask) read(wire []byte, id uint16) *dns.Msg {
	if len(wire) < headerSize || binary.BigEndian.Uint16(wire) != id {
		return nil
	}
	m := new(dns.Msg)
	err := m.Unpack(wire)
	if err != nil && m.Truncated {
		m.Answer, m.Ns, m.Extra, err = nil, nil, nil, nil
	}
	if err != nil || !m.Response || m.Opcode != dns.OpcodeQuery {
		return nil
	}
	if len(m.Question) == 0 && !good(m) {
		return m // some servers say no more than that they cannot
	}
	if len(m.Question) != 1 || m.Question[0].Qtype != a.qtype || m.Question[0].Qclass != dns.ClassINET ||
		!strings.EqualFold(m.Question[0].Name, a.name) {
		return nil
	}
	m.Question[0].Name = a.name
	return m
}

// good says whether m is an answer, not the excuse of a server.
func good(m *dns.Msg) bool { return m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError }

// exchange asks one server, over TCP if UDP cannot hold the answer. If TCP fails,
// the truncated answer is returned: it says that there is more.
func (u *upstream) exchange(ctx context.Context, server netip.AddrPort, a *ask) (*dns.Msg, error) {
	wire, id, err := a.message()
	if err != nil {
		return nil, fmt.Errorf("pack question for %s: %w", a.name, err)
	}
	m, err := u.overUDP(ctx, server, a, wire, id)
	if err != nil || !m.Truncated {
		return m, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.tcpTimeout)
	defer cancel()
	whole, err := u.overTCP(ctx, server, a)
	if err != nil {
		return m, nil // the cut answer is one, too
	}
	return whole, nil
}

// dial connects a new socket, which ends with ctx. close must be called.
func (u *upstream) dial(ctx context.Context, network string, server netip.AddrPort) (c net.Conn, closeConn func(), err error) {
	c, err = (&net.Dialer{}).DialContext(ctx, network, server.String())
	if err != nil {
		return nil, nil, err
	}
	local := c.LocalAddr()
	u.asking(local, true)
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // ends reads and writes at once
	return c, func() {
		stop()
		u.asking(local, false)
		_ = c.Close() // nothing is in flight that anybody waits for
	}, nil
}

// overUDP asks and waits, and asks again if nothing comes. The socket is
// connected, so only the server's own packets arrive.
func (u *upstream) overUDP(ctx context.Context, server netip.AddrPort, a *ask, wire []byte, id uint16) (*dns.Msg, error) {
	c, closeConn, err := u.dial(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer closeConn()
	buf := make([]byte, maxQuery)
	wait := u.resend
	for i := range a.attempts {
		if i == a.attempts-1 {
			wait = u.total // the last time, as long as there is time
		}
		if _, err := c.Write(wire); err != nil {
			return nil, err
		}
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		wait *= 2
		for ctx.Err() == nil { // after the deadline is set, or that would undo the end of ctx
			n, err := c.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, err // also that nobody listens there
			}
			if m := a.read(buf[:n], id); m != nil {
				return m, nil
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("ask %s over UDP: %w", server, errSilent)
}

// overTCP asks on a connection of its own.
func (u *upstream) overTCP(ctx context.Context, server netip.AddrPort, a *ask) (*dns.Msg, error) {
	wire, id, err := a.message()
	if err != nil {
		return nil, err
	}
	c, closeConn, err := u.dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer closeConn()
	if _, err := c.Write(framed(wire)); err != nil {
		return nil, err
	}
	answer, err := readFramed(c, dns.MaxMsgSize)
	if err != nil {
		return nil, err
	}
	if m := a.read(answer, id); m != nil && good(m) && !m.Truncated {
		return m, nil
	}
	return nil, fmt.Errorf("ask %s over TCP: it answers something else", server)
}

// framed puts the length before a message, as TCP has it.
func framed(wire []byte) []byte {
	out := make([]byte, 2, 2+len(wire))
	binary.BigEndian.PutUint16(out, uint16(len(wire)))
	return append(out, wire...)
}

// readFramed reads a message of at most limit bytes.
func readFramed(r io.Reader, limit int) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > limit {
		return nil, fmt.Errorf("read message: %d bytes, at most %d are expected", n, limit)
	}
	wire := make([]byte, n)
	_, err := io.ReadFull(r, wire)
	return wire, err
}
