package lifecycle

import (
	"encoding/json"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"berth/internal/testutil"
	"berth/ociruntime/plan/netdevice"
)

// ip runs ip(8) in the network namespace of this thread.
func ip(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// A container is joined to a bridge of the host's namespace by its keeper.
func TestPairs(t *testing.T) {
	testutil.RequireRoot(t)
	runtime.LockOSThread() // and never unlocked: the thread and its namespace end with the test
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	ip(t, "link", "add", "br0", "address", "02:00:00:00:00:01", "type", "bridge")
	ip(t, "addr", "add", "10.9.8.1/24", "dev", "br0")
	ip(t, "addr", "add", "fd00:9::1/64", "dev", "br0", "nodad")
	ip(t, "link", "set", "br0", "up")
	var links []struct{ Ifindex int }
	if err := json.Unmarshal(ip(t, "-j", "link", "show", "br0"), &links); err != nil || len(links) != 1 {
		t.Fatal(links, err)
	}
	a, _ := bundle(t)
	a.Pairs = []netdevice.Pair{{
		Host: "vbtest", HostIndex: 1<<20 + 7, Bridge: uint32(links[0].Ifindex), BridgeName: "br0", Isolated: true,
		Inside: "eth0", MAC: []byte{2, 0x42, 10, 9, 8, 2}, MTU: 1400,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.8.2/24"), netip.MustParsePrefix("fd00:9::2/64")},
		Gateways:  []netip.Addr{netip.MustParseAddr("10.9.8.1"), netip.MustParseAddr("fd00:9::1")},
	}}
	a.Spec.Linux.Sysctl = map[string]string{"net.ipv6.conf.eth0.accept_ra": "0"}
	out := output(t, a, `busybox ip addr show eth0; busybox ip route; busybox ip -6 route; cat /proc/sys/net/ipv6/conf/eth0/accept_ra
		busybox nc -w 5 10.9.8.1 1 2>/dev/null; busybox arp -n`)
	for _, want := range []string{
		"mtu 1400", "UP", "02:42:0a:09:08:02", "inet 10.9.8.2/24 brd 10.9.8.255 scope global eth0", "inet6 fd00:9::2/64 scope global",
		"default via 10.9.8.1 dev eth0", "default via fd00:9::1 dev eth0", "02:00:00:00:00:01",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}

	a.RunDir = t.TempDir()
	a.Pairs[0].Bridge = 1 // lo is no bridge
	_, err := tryOutput(t, a, "true")
	if err == nil || !strings.Contains(err.Error(), "make network device eth0, on bridge br0 as vbtest") {
		t.Errorf("on a bridge that is none: %v", err)
	}
}
