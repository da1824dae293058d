package berthtest

import (
	"fmt"
	"io"
	"net"
	"net/netip"
)

// Answer tells each client of a TCP server its address, as the server sees it, and
// then what the client says, until the listener is closed.
func Answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { // until the client ends
			defer c.Close()
			fmt.Fprintln(c, Host(c.RemoteAddr()))
			_, _ = io.Copy(c, c)
		}()
	}
}

// Host is the address of a peer without its port.
func Host(a net.Addr) string { return netip.MustParseAddrPort(a.String()).Addr().Unmap().String() }
