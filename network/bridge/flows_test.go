package bridge

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"berth/internal/linux/netns"
)

func TestForgetFlows(t *testing.T) {
	h := newHost(t)
	for _, c := range []string{"link add eth0 type bridge", "link set eth0 up", "address add 10.1.0.5/24 dev eth0", "address add fd00:5::5/64 dev eth0 nodad"} {
		h.run("ip", strings.Fields(c)...)
	}
	client := 1000
	flow := func(dst string, port int, reply string, replyPort int) {
		client++ // no two flows have an end in common
		from := fmt.Sprint(client)
		h.run("conntrack", "-I", "-p", "udp", "-s", reply, "-d", dst, "--sport", from, "--dport", fmt.Sprint(port),
			"-r", reply, "-q", dst, "--reply-port-src", fmt.Sprint(replyPort), "--reply-port-dst", from, "-t", "300")
	}
	flow("10.1.0.5", 53, "172.17.0.2", 53)   // to the container
	flow("10.1.0.5", 53, "172.17.0.9", 53)   // to the one before
	flow("127.0.0.1", 53, "172.17.0.9", 53)  // likewise
	flow("10.1.0.5", 54, "172.17.0.9", 53)   // another port
	flow("192.0.2.1", 53, "172.17.0.9", 53)  // another host
	flow("fd00:5::5", 53, "fd00:1::9", 5353) // another family
	count := func() string {
		return fmt.Sprint(strings.Count(h.run("conntrack", "-L", "-f", "ipv4"), "udp "), strings.Count(h.run("conntrack", "-L", "-f", "ipv6"), "udp "))
	}
	if got := count(); got != "5 1" {
		t.Fatalf("%s flows were made", got)
	}
	for _, step := range []struct {
		to, want string
		protocol uint8
	}{
		{"172.17.0.2:53", "5 1", 6}, // TCP
		{"172.17.0.2:53", "3 1", 17},
		{"[fd00:1::2]:53", "3 0", 17},
		{"", "2 0", 17},
	} {
		to, _ := netip.ParseAddrPort(step.to)
		must(t, h.ForgetFlows(step.protocol, []Target{{53, to}}))
		if got := count(); got != step.want {
			t.Errorf("to %q: %s flows, want %s", step.to, got, step.want)
		}
	}
}

// Nothing is left open, and no thread in another network namespace.
func TestLeaks(t *testing.T) {
	h := newHost(t)
	count := func() (fds, threads int) {
		files, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		tasks, err := os.ReadDir("/proc/self/task")
		must(t, err)
		home, err := os.Readlink("/proc/self/ns/net")
		must(t, err)
		for _, task := range tasks {
			if ns, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net"); err == nil && ns != home {
				threads++
			}
		}
		return len(files), threads
	}
	c := newContainer(t)
	round := func() {
		_, err := h.Ensure(testBridge("berth0", "172.17.0.1/24 fd00:1::1/64"))
		must(t, err)
		v := Veth{Host: "vb2", Inside: "eth0", Bridge: "berth0", Addresses: prefixes("172.17.0.2/24")}
		must(t, h.Plug(c.pid, v))
		v.Gateways = addrs("10.99.99.1")
		v.Host, v.Inside = "vb3", "eth1"
		if h.Plug(c.pid, v) == nil {
			t.Error("no error")
		}
		must(t, h.SetGateways(c.pid, "eth0", addrs("172.17.0.1")))
		must(t, h.Unplug(c.pid, "eth0"))
		n, err := NewNamespace()
		must(t, err)
		must(t, h.Attach(n, Veth{Host: "vd0", Inside: "dns0", Bridge: "berth0", Addresses: prefixes("172.17.0.254/24")}))
		udp, tcp, err := n.Listen(t.Context(), netip.MustParseAddrPort("172.17.0.254:53"))
		must(t, err)
		udp.Close()
		tcp.Close()
		must(t, n.Close())
		// Nothing holds the namespace any more: its devices end with it.
		for deadline := time.Now().Add(patient); devices(t, h.ns)["vd0"] != nil; {
			if time.Now().After(deadline) {
				t.Fatal("the namespace does not end")
			}
		}
		l, err := Open()
		must(t, err)
		must(t, l.Close())
		must(t, netns.Do(h.ns, func() error { _, err := net.Interfaces(); return err }))
		must(t, h.Remove("berth0"))
	}
	round()
	fds, _ := count()
	for range 5 {
		round()
	}
	after, threads := count()
	if after > fds || threads > 0 {
		t.Errorf("%d files open, %d before; %d threads in other namespaces", after, fds, threads)
	}
}
