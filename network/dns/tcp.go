package dns

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// conn is a client's TCP connection. It is closed when its reader has ended and
// all that it asked is answered: a client may close its side after the last
// question.
type conn struct {
	net.Conn
	service *service
	from    netip.AddrPort

	send sync.Mutex // held while an answer is written

	mu   sync.Mutex
	uses int // the reader and the questions under way
}

// accept takes the connections of clients.
func (v *service) accept() {
	for {
		nc, err := v.tcp.Accept()
		if err != nil {
			if !v.again(err) {
				return
			}
			continue
		}
		from, ok := addrPort(nc.RemoteAddr())
		if !ok || !v.server.conns.enter(from.Addr()) {
			_ = nc.Close() // too many: the client may come again
			continue
		}
		c := &conn{Conn: nc, service: v, from: from, uses: 1}
		if !v.add(c) {
			c.release()
			return
		}
	}
}

// add starts the reader of a connection; false if the service has stopped.
func (v *service) add(c *conn) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.conns == nil {
		return false
	}
	v.conns[c] = struct{}{}
	v.wg.Go(c.read)
	return true
}

// read handles questions as they come, without waiting for the answers to those
// before (RFC 7766). A question must be whole before the connection counts as idle.
func (c *conn) read() {
	defer c.release()
	for {
		if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
			return
		}
		raw, err := readFramed(c.Conn, maxQuery)
		if err != nil {
			return
		}
		reply, f := c.service.server.handle(raw, c.from, true)
		switch {
		case f != nil:
			c.use()
			c.service.server.later(f, func(reply []byte) {
				c.write(reply)
				c.release()
			})
		case reply == nil || !c.write(reply):
			return
		}
	}
}

// write sends an answer whole, or ends the connection.
func (c *conn) write(reply []byte) bool {
	c.send.Lock()
	defer c.send.Unlock()
	err := c.SetWriteDeadline(time.Now().Add(sendTimeout))
	if err == nil {
		_, err = c.Write(framed(reply))
	}
	if err != nil {
		_ = c.Close()
	}
	return err == nil
}

func (c *conn) use() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses++
}

// release ends one use; the last closes the connection.
func (c *conn) release() {
	c.mu.Lock()
	c.uses--
	last := c.uses == 0
	c.mu.Unlock()
	if !last {
		return
	}
	_ = c.Close()
	c.service.mu.Lock()
	delete(c.service.conns, c)
	c.service.mu.Unlock()
	c.service.server.conns.leave(c.from.Addr())
}
