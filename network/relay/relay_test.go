package relay

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listener is a socket of the test's [::1], as a table of ports holds it.
func listener(t *testing.T, kind int) (*os.File, string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET6, kind|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}); err != nil {
		t.Fatal(err)
	}
	if kind == syscall.SOCK_STREAM {
		if err := syscall.Listen(fd, 16); err != nil {
			t.Fatal(err)
		}
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(fd, false); err != nil { // so that os does not wait for it
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, fmt.Sprintf("[::1]:%d", name.(*syscall.SockaddrInet6).Port)
}

func table(t *testing.T) *Table {
	t.Helper()
	r := New(t.Context(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

const patience = 30 * time.Second

// What a client sends before it ends its way arrives, and so does what the server sends after;
// the first target that nobody listens at is passed over.
func TestTCP(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			all, _ := io.ReadAll(c) // until the client's end
			fmt.Fprintf(c, "%d", len(all))
			c.Close()
		}
	}()
	nobody, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := netip.MustParseAddrPort(nobody.Addr().String())
	nobody.Close()

	r := table(t)
	socket, addr := listener(t, syscall.SOCK_STREAM)
	k := Key{"tcp", netip.MustParseAddrPort(addr)}
	if err := r.Start(k, socket, []netip.AddrPort{refused, netip.MustParseAddrPort(server.Addr().String())}); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(c, strings.NewReader(strings.Repeat("x", 1<<20))); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "1048576" {
		t.Errorf("answer %q, %v", got, err)
	}
	// An open connection ends with the port.
	open, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := open.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	r.Stop(k)
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection of a port that has ended: %v", err)
	}
	if r.load != 0 {
		t.Errorf("%d connections are counted after the end", r.load)
	}
	if err := r.Start(k, socket, nil); err == nil {
		t.Error("a closed socket was taken")
	}
}

// Each client has its own way back.
func TestUDP(t *testing.T) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(buf[:n], from)
		}
	}()
	r := table(t)
	socket, addr := listener(t, syscall.SOCK_DGRAM)
	k := Key{"udp", netip.MustParseAddrPort(addr)}
	if err := r.Start(k, socket, []netip.AddrPort{netip.MustParseAddrPort(server.LocalAddr().String())}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		c, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat(fmt.Sprint(i%10), 1000*i)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, maxDatagram)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != text {
			t.Errorf("datagram %d: %d bytes, %v; want %d", i, n, err, len(text))
		}
	}
	r.Stop(k)
	if r.load != 0 {
		t.Errorf("%d sessions are counted after the end", r.load)
	}
}
