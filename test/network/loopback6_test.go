package network

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/test/berthtest"
)

// TestLoopback6: published ports are reached by the host's [::1], of containers with
// and without IPv6.
func TestLoopback6(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "--ipv6", "six")
	l.serve("both", "--network six -p 8080:80 -p 8080:80/udp -p 8070:99")
	l.serve("four", "-p 8081:80 -p 8081:80/udp -p [::1]:8083:80 -p 0.0.0.0:8084:80")
	gw6, gw := text(l.endpoint("both", "six").IPv6Gateway), text(l.endpoint("four", "bridge").Gateway)
	all := func(when string) {
		t.Helper()
		for _, proto := range []string{"tcp", "udp"} {
			want(t, when+proto+" to a container with IPv6", gw6)(ask(proto, "[::1]:8080"))
			want(t, when+proto+" to one without", gw)(ask(proto, "[::1]:8081"))
		}
		want(t, when+"port of [::1] to one without", gw)(ask("tcp", "[::1]:8083"))
	}
	all("")
	wantError(t, "port of 0.0.0.0", "refused")(ask("tcp", "[::1]:8084"))
	if _, err := ask("tcp", "[::1]:8070"); err == nil || strings.HasPrefix(err.Error(), "silent") {
		t.Errorf("a port that nobody serves in the container: %v; want refused or reset", err)
	}
	bulk(t, "[::1]:8080")
	if err := l.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.Must(t, "ps")
	all("after the daemon's death: ")

	// What is relayed ends with the publishing, and with the container.
	for _, end := range [][]string{{"update", "--publish-rm", "8080", "both"}, {"rm", "-f", "four"}} {
		port := map[string]string{"update": "[::1]:8080", "rm": "[::1]:8081"}[end[0]]
		c, err := net.Dial("tcp", port)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(c)
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		l.Must(t, end...)
		if err := c.SetDeadline(time.Now().Add(berthtest.Limit)); err != nil {
			t.Fatal(err)
		}
		_, err = lines.ReadString('\n')
		if timeout, ok := err.(net.Error); err == nil || ok && timeout.Timeout() {
			t.Errorf("a relayed connection after %v: %v", end, err)
		}
		c.Close()
		wantError(t, port+" after "+end[0], "refused")(ask("tcp", port))
	}
	l.serve("four", "-p 8081:80")
	want(t, "the same port again", gw)(ask("tcp", "[::1]:8081"))
	l.Must(t, "rm", "-f", "both", "four")
	l.clean()
}

// bulk sends much both ways at once, and ends one way first.
func bulk(t *testing.T, addr string) {
	t.Helper()
	const size = 32 << 20
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(berthtest.Limit)); err != nil {
		t.Fatal(err)
	}
	var sent sync.WaitGroup
	sent.Go(func() {
		if _, err := io.Copy(c, io.LimitReader(nothing{}, size)); err != nil {
			t.Error(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	in := bufio.NewReader(c)
	if _, err := in.ReadString('\n'); err != nil {
		t.Error(err)
	}
	n, err := io.Copy(io.Discard, in)
	if n != size || err != nil {
		t.Errorf("%d of %d bytes came back: %v", n, size, err)
	}
	sent.Wait()
}

type nothing struct{}

func (nothing) Read(b []byte) (int, error) { return len(b), nil }

// TestLoopback6Many: connections at once, more than are relayed, and what is left of them.
func TestLoopback6Many(t *testing.T) {
	l := start(t)
	l.serve("web", "-p 8080:80")
	want(t, "before", text(l.endpoint("web", "bridge").Gateway))(ask("tcp", "[::1]:8080"))
	files := l.files()
	var open []net.Conn
	served := 0
	for range 300 {
		c, err := net.Dial("tcp", "[::1]:8080")
		if err != nil {
			continue
		}
		open = append(open, c)
		if err := c.SetDeadline(time.Now().Add(berthtest.Limit)); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
			served++
		}
	}
	if served != 256 {
		t.Errorf("%d connections were served of 300; want 256", served)
	}
	for _, c := range open {
		c.Close()
	}
	err := berthtest.Poll(func() error {
		// Pipes of splice(2) are kept for the next ones, until Go's garbage collection.
		if _, err := ask("tcp", "[::1]:8080"); err != nil {
			return err
		}
		if now := count(t, fmt.Sprintf("/proc/%d/fd", l.Daemon())); now > files+1100 {
			return fmt.Errorf("berthd has %d files open, had %d", now, files)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	l.Must(t, "rm", "-f", "web")
}

// TestPortsFollow: ports of IPv6 go with the network that has it, and come back.
func TestPortsFollow(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "--ipv6", "a6")
	l.Must(t, "network", "create", "b4")
	l.serve("web", "--network a6 --network b4 -p 8080:80")
	both := func(when string) {
		t.Helper()
		want(t, when+"IPv4", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
		want(t, when+"IPv6", other6)(o.ask("tcp", at(hostAddr6, "8080")))
		want(t, when+"[::1]", text(l.endpoint("web", "a6").IPv6Gateway))(ask("tcp", "[::1]:8080"))
	}
	both("")
	l.Must(t, "network", "disconnect", "a6", "web")
	want(t, "without IPv6", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	wantError(t, "IPv6 without an address of it", "refused")(o.ask("tcp", at(hostAddr6, "8080")))
	want(t, "[::1] without IPv6", text(l.endpoint("web", "b4").Gateway))(ask("tcp", "[::1]:8080"))
	if got := l.Must(t, "port", "web"); got != "80/tcp -> 0.0.0.0:8080" {
		t.Errorf("ports without IPv6: %s", got)
	}
	free, err := net.Listen("tcp6", "[2001:db8::1]:8080")
	if err != nil {
		t.Fatal("the port of IPv6 is still held:", err)
	}
	free.Close()
	l.Must(t, "network", "disconnect", "b4", "web")
	if got, _, _ := l.Berth(t, "port", "web"); got != "" {
		t.Errorf("ports without a network: %s", got)
	}
	l.Must(t, "network", "connect", "a6", "web")
	both("back: ")
	l.Must(t, "rm", "-f", "web")
	l.clean()
}
