package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/linux/netns"

	"github.com/containerd/errdefs"
)

// plug plugs a new container into a bridge of 172.17.0.0/24 and fd00:1::/64.
func (h *host) plug(bridge string, n int, isolated bool) *container {
	h.t.Helper()
	c := newContainer(h.t)
	index, err := h.NextIndex()
	must(h.t, err)
	must(h.t, h.Plug(c.pid, Veth{
		Host: fmt.Sprintf("vb%d", n), Inside: "eth0", HostIndex: index, MAC: net.HardwareAddr{2, 0x42, 172, 17, 0, byte(n)}, MTU: 1400,
		Bridge: bridge, Isolated: isolated,
		Addresses: prefixes(fmt.Sprintf("172.17.0.%d/24 fd00:1::%d/64", n, n)), Gateways: addrs("172.17.0.1 fd00:1::1"),
	}))
	return c
}

// echo serves one connection at an address of a namespace.
func echo(t *testing.T, ns *os.File, at string) (port int) {
	t.Helper()
	var l net.Listener
	must(t, netns.Do(ns, func() error {
		var err error
		l, err = net.Listen("tcp", net.JoinHostPort(at, "0"))
		return err
	}))
	var served sync.WaitGroup
	served.Go(func() { // until it is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c) // the other side checks
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		served.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

// talk sends a line from a namespace and wants it back.
func talk(ns *os.File, at string, port int, patience time.Duration) error {
	return netns.Do(ns, func() error {
		// The context's deadline needs no goroutine that would make the socket elsewhere.
		c, err := (&net.Dialer{Timeout: patience, FallbackDelay: -1}).Dial("tcp", net.JoinHostPort(at, fmt.Sprint(port)))
		if err != nil {
			return err
		}
		defer c.Close()
		line := make([]byte, 4)
		err = c.SetDeadline(time.Now().Add(patience))
		if err == nil {
			_, err = io.WriteString(c, "hail")
		}
		if err == nil {
			_, err = io.ReadFull(c, line)
		}
		return err
	})
}

const patient = 10 * time.Second

func TestPlug(t *testing.T) {
	h := newHost(t)
	index, err := h.Ensure(testBridge("berth0", "172.17.0.1/24 fd00:1::1/64"))
	must(t, err)
	a, b := h.plug("berth0", 2, false), h.plug("berth0", 3, false)
	host, in := devices(t, h.ns), devices(t, a.ns)["eth0"]
	if d := host["vb2"]; d.Index <= 1<<20 || d.Master != "berth0" || !d.up() || d.MTU != 1400 || len(d.Addresses) != 0 || d.LinkInfo.SlaveData.Isolated {
		t.Errorf("host's end: %+v", d)
	}
	if in == nil || !in.up() || in.MTU != 1400 || in.Address != "02:42:ac:11:00:02" || in.global(t) != "172.17.0.2/24 fd00:1::2/64" {
		t.Fatalf("inside: %+v", in)
	}
	if index != host["berth0"].Index {
		t.Errorf("index of the bridge: %d, %d", index, host["berth0"].Index)
	}
	if got := routes(t, a.ns, "-4"); got != "172.17.0.1" {
		t.Errorf("default route via %s", got)
	}
	if got := routes(t, a.ns, "-6"); got != "fd00:1::1" {
		t.Errorf("IPv6 default route via %s", got)
	}
	for _, at := range []string{"172.17.0.3", "fd00:1::3"} {
		port := echo(t, b.ns, at)
		if err := talk(a.ns, at, port, patient); err != nil {
			t.Errorf("container to container: %v", err)
		}
		if err := talk(h.ns, at, port, patient); err != nil {
			t.Errorf("host to container: %v", err)
		}
	}
	if err := talk(a.ns, "172.17.0.1", echo(t, h.ns, "172.17.0.1"), patient); err != nil {
		t.Errorf("container to host: %v", err)
	}
	if got := fmt.Sprint(h.Ends()); got != "[vb2 vb3] <nil>" && got != "[vb3 vb2] <nil>" {
		t.Errorf("ends: %s", got)
	}
	must(t, h.Unplug(a.pid, "eth0"))
	must(t, h.Unplug(a.pid, "eth0"))
	if devices(t, h.ns)["vb2"] != nil || devices(t, a.ns)["eth0"] != nil {
		t.Error("unplugged devices are there")
	}
	must(t, h.RemoveLink("vb3"))
	must(t, h.RemoveLink("vb3"))
	if err := h.RemoveLink("berth0"); !errors.Is(err, errdefs.ErrConflict) {
		t.Errorf("remove a bridge as a link: %v", err)
	}
	if err := h.Unplug(b.pid, "lo"); !errors.Is(err, errdefs.ErrConflict) {
		t.Errorf("unplug lo: %v", err)
	}
}

// routes returns the default gateways of a namespace.
func routes(t *testing.T, ns *os.File, family string) string {
	t.Helper()
	var all []struct{ Dst, Gateway string }
	must(t, json.Unmarshal([]byte(runIn(t, ns, "ip", family, "-j", "route", "show", "default")), &all))
	var via []string
	for _, r := range all {
		via = append(via, r.Gateway)
	}
	return strings.Join(via, " ")
}

func TestSetGateways(t *testing.T) {
	h := newHost(t)
	_, err := h.Ensure(testBridge("berth0", "172.17.0.1/24 fd00:1::1/64"))
	must(t, err)
	_, err = h.Ensure(testBridge("berth1", "172.18.0.1/24 fd00:2::1/64"))
	must(t, err)
	c := h.plug("berth0", 2, false)
	must(t, h.Plug(c.pid, Veth{Host: "vbx", Inside: "eth1", Bridge: "berth1", Addresses: prefixes("172.18.0.2/24 fd00:2::2/64")}))
	for _, step := range []struct{ inside, gateways string }{
		{"eth1", "172.18.0.1 fd00:2::1"}, {"eth0", "172.17.0.1 fd00:1::1"}, {"eth1", "172.18.0.1 fd00:2::1"},
	} {
		must(t, h.SetGateways(c.pid, step.inside, addrs(step.gateways)))
		if got := routes(t, c.ns, "-4") + " " + routes(t, c.ns, "-6"); got != step.gateways {
			t.Errorf("%s: default routes via %s, want %s", step.inside, got, step.gateways)
		}
	}
}

func TestIsolation(t *testing.T) {
	h := newHost(t)
	_, err := h.Ensure(testBridge("berth0", "172.17.0.1/24 fd00:1::1/64"))
	must(t, err)
	a, b, open := h.plug("berth0", 2, true), h.plug("berth0", 3, true), h.plug("berth0", 4, false)
	if d := devices(t, h.ns)["vb2"]; !d.LinkInfo.SlaveData.Isolated {
		t.Errorf("not isolated: %+v", d)
	}
	port := echo(t, b.ns, "172.17.0.3")
	if err := talk(a.ns, "172.17.0.3", port, time.Second); err == nil {
		t.Error("isolated ports talk to each other")
	}
	if err := talk(open.ns, "172.17.0.3", port, patient); err != nil {
		t.Errorf("from a port that is not isolated: %v", err)
	}
	if err := talk(a.ns, "172.17.0.1", echo(t, h.ns, "172.17.0.1"), patient); err != nil {
		t.Errorf("isolated container to host: %v", err)
	}
	must(t, h.Isolate("vb4"))
	if err := talk(open.ns, "172.17.0.3", echo(t, b.ns, "172.17.0.3"), time.Second); err == nil {
		t.Error("a port isolated later talks")
	}
	if err := h.Isolate("vb9"); err == nil {
		t.Error("isolate nothing: no error")
	}
}

func TestPlugFails(t *testing.T) {
	h := newHost(t)
	_, err := h.Ensure(testBridge("berth0", "172.17.0.1/24"))
	must(t, err)
	c, dead := newContainer(t), newContainer(t)
	p, err := os.FindProcess(dead.pid)
	must(t, err)
	must(t, p.Kill())
	deadline := time.Now().Add(patient)
	for { // a zombie then
		f, err := netns.Open(dead.pid)
		if errors.Is(err, os.ErrProcessDone) {
			break
		}
		must(t, errors.Join(err, f.Close()))
		if time.Now().After(deadline) {
			t.Fatal("the process does not end")
		}
	}
	good := Veth{Host: "vb1", Inside: "eth0", Bridge: "berth0", Addresses: prefixes("172.17.0.2/24")}
	for name, c := range map[string]struct {
		pid    int
		change func(*Veth)
		class  error
	}{
		"dead process": {dead.pid, func(*Veth) {}, errdefs.ErrFailedPrecondition},
		"no bridge":    {c.pid, func(v *Veth) { v.Bridge = "none" }, errdefs.ErrNotFound},
		"inside name":  {c.pid, func(v *Veth) { v.Inside = "a/b" }, errdefs.ErrInvalidArgument},
		"host name":    {c.pid, func(v *Veth) { v.Host = "" }, errdefs.ErrInvalidArgument},
		"name taken":   {c.pid, func(v *Veth) { v.Inside = "lo" }, os.ErrExist},
		"gateway":      {c.pid, func(v *Veth) { v.Gateways = addrs("10.99.99.1") }, nil},
		"no port":      {c.pid, func(v *Veth) { v.Bridge = "lo" }, nil},
	} {
		v := good
		c.change(&v)
		if err := h.Plug(c.pid, v); err == nil || c.class != nil && !errors.Is(err, c.class) {
			t.Errorf("%s: %v", name, err)
		}
		if d := devices(t, h.ns); len(d) != 2 {
			t.Errorf("%s: devices were left behind: %v", name, d)
		}
	}
	must(t, h.Unplug(dead.pid, "eth0"))
	must(t, h.Plug(c.pid, good))
	if got := sysctlIn(t, c.ns, "ipv6/conf/eth0/disable_ipv6"); got != "1" {
		t.Errorf("IPv6 in a network without it: disable_ipv6 is %s", got)
	}
}

func TestNextIndex(t *testing.T) {
	h := newHost(t)
	h.run("ip", "link", "add", "name", "a", "index", "1048580", "type", "bridge")
	seen := map[uint32]bool{1048580: true}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				i, err := h.NextIndex()
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if i <= 1<<20 || seen[i] {
					t.Errorf("index %d twice, or small", i)
				}
				seen[i] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	h.run("ip", "link", "add", "name", "b", "index", fmt.Sprint(h.lastIndex+1), "type", "bridge")
	i, err := h.NextIndex()
	must(t, err)
	if _, err := h.h.LinkByIndex(int(i)); !gone(err) {
		t.Errorf("index %d is in use", i)
	}
	h.lastIndex = maxIndex
	if i, err := h.NextIndex(); i != minIndex || err != nil {
		t.Errorf("after the last: %d, %v", i, err)
	}
}

func TestCounters(t *testing.T) {
	h := newHost(t)
	_, err := h.Ensure(testBridge("berth0", "172.17.0.1/24 fd00:1::1/64"))
	must(t, err)
	c := h.plug("berth0", 2, false)
	must(t, talk(c.ns, "172.17.0.1", echo(t, h.ns, "172.17.0.1"), patient))
	names := []string{"vb2", "berth0", "none"}
	few, err := h.Counters(names)
	must(t, err)
	for i := range dumpFrom {
		names = append(names, fmt.Sprint("none", i))
	}
	many, err := h.Counters(names)
	must(t, err)
	for _, got := range []map[string]Counters{few, many} {
		if len(got) != 2 || got["vb2"].RxBytes < 100 || got["vb2"].TxPackets < 3 {
			t.Errorf("%+v", got)
		}
	}
}

func TestNamespace(t *testing.T) {
	h := newHost(t)
	for _, b := range []Bridge{testBridge("berth0", "172.17.0.1/24 fd00:1::1/64"), testBridge("berth1", "172.18.0.1/24")} {
		_, err := h.Ensure(b)
		must(t, err)
	}
	c := h.plug("berth0", 2, true)
	n, err := NewNamespace()
	must(t, err)
	defer n.Close()
	must(t, h.Attach(n, Veth{Host: "vd0", Inside: "dns0", Bridge: "berth0", Addresses: prefixes("172.17.0.254/24 fd00:1::fe/64")}))
	must(t, h.Attach(n, Veth{Host: "vd1", Inside: "dns1", Bridge: "berth1", Addresses: prefixes("172.18.0.254/24")}))
	for _, at := range []string{"172.17.0.254:53", "[fd00:1::fe]:53"} {
		answer(t, n, c, netip.MustParseAddrPort(at))
	}
	// The address of another network is not to be reached, not even by a container that knows the way.
	udp, tcp, err := n.Listen(context.Background(), netip.MustParseAddrPort("172.18.0.254:53"))
	must(t, err)
	defer udp.Close()
	defer tcp.Close()
	runIn(t, c.ns, "ip", "route", "add", "172.18.0.254/32", "via", "172.17.0.254")
	err = talk(c.ns, "172.18.0.254", 53, time.Second)
	if failed := new(net.OpError); !errors.As(err, &failed) || failed.Op != "dial" {
		t.Errorf("reached the name server's address in another network: %v", err)
	}
	if got := sysctlIn(t, n.ns, "ipv4/ip_forward") + sysctlIn(t, n.ns, "ipv6/conf/all/forwarding"); got != "00" {
		t.Errorf("forwarding: %s", got)
	}
	if _, _, err := n.Listen(context.Background(), netip.MustParseAddrPort("172.18.0.9:53")); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("listen at an address of nobody's: %v", err)
	}
	must(t, h.Detach("vd0"))
	must(t, h.Detach("vd0"))
	if devices(t, h.ns)["vd0"] != nil || devices(t, n.ns)["dns0"] != nil {
		t.Error("detached devices are there")
	}
}

// answer has a container ask the name server over UDP and TCP.
func answer(t *testing.T, n *Namespace, c *container, at netip.AddrPort) {
	t.Helper()
	udp, tcp, err := n.Listen(context.Background(), at)
	must(t, err)
	var served sync.WaitGroup
	served.Go(func() { // until the socket is closed
		buf := make([]byte, 16)
		for {
			k, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo(buf[:k], from) // the other side checks
		}
	})
	served.Go(func() { // likewise
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	})
	defer served.Wait()
	defer tcp.Close()
	defer udp.Close()
	if err := talk(c.ns, at.Addr().String(), int(at.Port()), patient); err != nil {
		t.Errorf("TCP: %v", err)
	}
	err = netns.Do(c.ns, func() error {
		conn, err := net.Dial("udp", at.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(patient)))
		buf := make([]byte, 4)
		_, err = conn.Write([]byte("hail"))
		if err == nil {
			_, err = io.ReadFull(conn, buf)
		}
		return err
	})
	if err != nil {
		t.Errorf("UDP: %v", err)
	}
}

// A new berthd attaches while the old one's namespace still ends.
func TestAttachAgain(t *testing.T) {
	h := newHost(t)
	_, err := h.Ensure(testBridge("berth0", "172.17.0.1/24"))
	must(t, err)
	for range 3 {
		n, err := NewNamespace()
		must(t, err)
		defer n.Close()
		must(t, h.Attach(n, Veth{Host: "vd0", Inside: "dns0", Bridge: "berth0", Addresses: prefixes("172.17.0.254/24")}))
	}
}
