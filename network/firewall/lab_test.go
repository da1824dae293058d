package firewall_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
	"berth/network/firewall"
)

// space is a network namespace: a thread that lives in it and does what it is told.
// It ends with the test, and with it all its links.
type space struct {
	t     *testing.T
	path  string
	calls chan func()
}

func newSpace(t *testing.T) *space {
	t.Helper()
	testutil.RequireRoot(t)
	s := &space{t: t, calls: make(chan func())}
	ready, done := make(chan error), make(chan struct{})
	go func() { // the owner is the test: its cleanup joins it
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		s.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), syscall.Gettid())
		ready <- err
		for call := range s.calls {
			call()
		}
	}()
	err := <-ready
	t.Cleanup(func() {
		close(s.calls)
		<-done
	})
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	s.ip("link set lo up")
	return s
}

// do runs f in the namespace.
func (s *space) do(f func()) {
	done := make(chan struct{})
	s.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}

// run runs a program in the namespace and returns its output.
func (s *space) run(stdin, name string, args ...string) string {
	s.t.Helper()
	var out []byte
	var err error
	s.do(func() {
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err = cmd.CombinedOutput()
	})
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdin, out)
	}
	return string(out)
}

// ip runs commands of ip, one a line.
func (s *space) ip(commands string) {
	s.t.Helper()
	s.run(commands+"\n", "ip", "-batch", "-")
}

func (s *space) nft(commands string) string {
	s.t.Helper()
	return s.run(commands+"\n", "nft", "-f", "-")
}

func (s *space) sysctl(name, value string) {
	s.t.Helper()
	var err error
	s.do(func() { err = os.WriteFile("/proc/sys/"+name, []byte(value), 0o644) })
	if err != nil {
		s.t.Fatal(err)
	}
}

// serve answers at a port, TCP and UDP, IPv4 and IPv6, with the client's address.
func (s *space) serve(port int) {
	s.t.Helper()
	for _, version := range []string{"4", "6"} {
		var l net.Listener
		var c net.PacketConn
		var err, err2 error
		s.do(func() {
			var config net.ListenConfig
			l, err = config.Listen(s.t.Context(), "tcp"+version, fmt.Sprintf(":%d", port))
			c, err2 = config.ListenPacket(s.t.Context(), "udp"+version, fmt.Sprintf(":%d", port))
		})
		if err := errors.Join(err, err2); err != nil {
			s.t.Fatal(err)
		}
		done := make(chan struct{}, 2)
		go serveTCP(l, done)
		go serveUDP(c, done)
		s.t.Cleanup(func() {
			_, _ = l.Close(), c.Close()
			<-done
			<-done
		})
	}
}

// serveTCP writes the client's address, then echoes.
func serveTCP(l net.Listener, done chan<- struct{}) {
	defer func() { done <- struct{}{} }()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { // ends when the client, the test, closes
			defer c.Close()
			_, _ = io.WriteString(c, address(c.RemoteAddr())+"\n")
			_, _ = io.Copy(c, c)
		}()
	}
}

func serveUDP(c net.PacketConn, done chan<- struct{}) {
	defer func() { done <- struct{}{} }()
	b := make([]byte, 100)
	for {
		_, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = c.WriteTo([]byte(address(from)+"\n"), from)
	}
}

func address(a net.Addr) string { return netip.MustParseAddrPort(a.String()).Addr().Unmap().String() }

// dial connects from the namespace.
func (s *space) dial(proto, to string, patience time.Duration) (c net.Conn, err error) {
	s.do(func() {
		ctx, cancel := context.WithTimeout(s.t.Context(), patience)
		defer cancel()
		c, err = (&net.Dialer{}).DialContext(ctx, proto, to)
	})
	return c, err
}

// ask returns the address that the server at the other end sees.
func (s *space) ask(proto, to string, patience time.Duration) (string, error) {
	c, err := s.dial(proto, to, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		return "", err
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	return strings.TrimSuffix(strings.SplitAfter(string(b[:n]), "\n")[0], "\n"), err
}

// sees checks who the server sees.
func (s *space) sees(proto, to, want string) {
	s.t.Helper()
	got, err := s.ask(proto, to, 5*time.Second)
	if err != nil || got != want {
		s.t.Errorf("ask %s %s: the server sees %q, %v; want %s", proto, to, got, err, want)
	}
}

// fails checks that there is no answer.
func (s *space) fails(proto, to string) {
	s.t.Helper()
	if got, err := s.ask(proto, to, 100*time.Millisecond); err == nil {
		s.t.Errorf("ask %s %s: the server sees %s; want no answer", proto, to, got)
	}
}

// Addresses of the lab. Each network has its gateway at .1 and ::1.
const (
	hostIP, hostIP6       = "192.0.2.1", "2001:db8::1"
	outsideIP, outsideIP6 = "192.0.2.9", "2001:db8::9"
)

// lab is a host with three bridges, containers at them, and somebody outside who
// has routes to the containers.
//
//	outside ── up0 host ┬ red    172.30.1.0/24 fd00:1::/64 ── red1 .2, red2 .3
//	                    ├ blue   172.30.2.0/24 fd00:2::/64 ── blue1 .2
//	                    └ inner  172.30.3.0/24 fd00:3::/64 ── inner1 .2, inner2 .3
type lab struct {
	host, outside                     *space
	red1, red2, blue1, inner1, inner2 *space
	table                             *firewall.Table
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{host: newSpace(t), outside: newSpace(t)}
	h := l.host
	h.ip("link add up0 type veth peer name eth0 netns " + l.outside.path)
	h.ip("addr add " + hostIP + "/24 dev up0\naddr add " + hostIP6 + "/64 dev up0 nodad\nlink set up0 up")
	l.outside.ip("addr add " + outsideIP + "/24 dev eth0\naddr add " + outsideIP6 + "/64 dev eth0 nodad\nlink set eth0 up\n" +
		"route add 172.30.0.0/16 via " + hostIP + "\nroute add fd00::/16 via " + hostIP6)
	for i, bridge := range []string{"red", "blue", "inner"} {
		h.ip(fmt.Sprintf("link add %[1]s type bridge\naddr add 172.30.%[2]d.1/24 dev %[1]s\n"+
			"addr add fd00:%[2]d::1/64 dev %[1]s nodad\nlink set %[1]s up", bridge, i+1))
		h.sysctl("net/ipv4/conf/"+bridge+"/route_localnet", "1")
	}
	h.sysctl("net/ipv4/ip_forward", "1")
	h.sysctl("net/ipv6/conf/all/forwarding", "1")
	l.red1, l.red2 = l.container(t, "red", 1, 2), l.container(t, "red", 1, 3)
	l.blue1 = l.container(t, "blue", 2, 2)
	l.inner1, l.inner2 = l.container(t, "inner", 3, 2), l.container(t, "inner", 3, 3)
	l.table = open(t, h, "berth")
	return l
}

// container joins a new namespace to a bridge.
func (l *lab) container(t *testing.T, bridge string, net, host int) *space {
	t.Helper()
	s := newSpace(t)
	veth := fmt.Sprintf("%s%d", bridge, host)
	l.host.ip(fmt.Sprintf("link add %[1]s type veth peer name eth0 netns %[2]s\nlink set %[1]s master %[3]s up\n"+
		"link set %[1]s type bridge_slave hairpin on", veth, s.path, bridge))
	s.ip(fmt.Sprintf("addr add 172.30.%[1]d.%[2]d/24 dev eth0\naddr add fd00:%[1]d::%[2]d/64 dev eth0 nodad\n"+
		"link set eth0 up\nroute add default via 172.30.%[1]d.1\nroute add default via fd00:%[1]d::1", net, host))
	return s
}

func open(t *testing.T, s *space, name string) *firewall.Table {
	t.Helper()
	var table *firewall.Table
	var err error
	s.do(func() { table, err = firewall.Open(name) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

func prefixes(s ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range s {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func port(proto, host, to string) firewall.Port {
	return firewall.Port{Protocol: proto, Host: netip.MustParseAddrPort(host), To: netip.MustParseAddrPort(to)}
}

func (l *lab) networks() []firewall.Network {
	return []firewall.Network{
		{Bridge: "red", Subnets: prefixes("172.30.1.0/24", "fd00:1::/64"), Masquerade: true},
		{Bridge: "blue", Subnets: prefixes("172.30.2.0/24", "fd00:2::/64"), Masquerade: true},
		{Bridge: "inner", Subnets: prefixes("172.30.3.0/24", "fd00:3::/64"), Internal: true},
	}
}

// reset gives the lab its three networks, and ports.
func (l *lab) reset(t *testing.T, ports ...firewall.Port) {
	t.Helper()
	if err := l.table.Reset(firewall.State{Networks: l.networks(), Ports: ports}); err != nil {
		t.Fatal(err)
	}
}
