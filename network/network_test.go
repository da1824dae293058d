package network

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"berth/internal/testutil"
	"berth/network/portmap"
	"berth/network/request"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/network"
)

// host makes the calling thread's network namespace a new one, for good: it ends
// with the test's goroutine.
func newHost(t *testing.T) {
	t.Helper()
	testutil.RequireRoot(t)
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *Networks {
	t.Helper()
	n, err := Open(t.Context(), Config{
		Root: filepath.Join(dir, "networks"), Run: filepath.Join(dir, "run"), Suffix: "test",
		Lock: filepath.Join(dir, "lock"), ResolvConf: "/dev/null", Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func subnet(s string) *network.IPAM {
	return &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix(s)}}}
}

const (
	idA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func TestCreate(t *testing.T) {
	newHost(t)
	n := open(t, t.TempDir())
	if len(n.List()) != 3 {
		t.Errorf("at the beginning: %v", n.List())
	}
	yes := true
	app, err := n.Create(network.CreateRequest{Name: "app", EnableIPv6: &yes, IPAM: subnet("10.77.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	if c := app.IPAM.Config; len(c) != 2 || c[0].Gateway != netip.MustParseAddr("10.77.0.1") || !c[1].Subnet.Addr().Is6() {
		t.Errorf("subnets: %v", c)
	}
	for name, test := range map[string]struct {
		r     network.CreateRequest
		class func(error) bool
		text  string
	}{
		"name":     {network.CreateRequest{Name: "a/b"}, errdefs.IsInvalidArgument, `invalid network name "a/b"`},
		"none":     {network.CreateRequest{}, errdefs.IsInvalidArgument, "invalid network name"},
		"taken":    {network.CreateRequest{Name: "app"}, errdefs.IsConflict, "network with name app already exists"},
		"host":     {network.CreateRequest{Name: "host"}, errdefs.IsPermissionDenied, "predefined host network"},
		"driver":   {network.CreateRequest{Name: "x", Driver: "weave"}, errdefs.IsInvalidArgument, `network driver "weave" is unknown`},
		"scope":    {network.CreateRequest{Name: "x", Scope: "swarm"}, errdefs.IsInvalidArgument, "only local is"},
		"option":   {network.CreateRequest{Name: "x", Options: map[string]string{"a": "b"}}, errdefs.IsInvalidArgument, `unknown network option "a"`},
		"mtu":      {network.CreateRequest{Name: "x", Options: map[string]string{request.OptMTU: "17"}}, errdefs.IsInvalidArgument, "an MTU is 1280 to 65535"},
		"bool":     {network.CreateRequest{Name: "x", Options: map[string]string{request.OptICC: "maybe"}}, errdefs.IsInvalidArgument, "cannot be read"},
		"bridge":   {network.CreateRequest{Name: "x", Options: map[string]string{request.OptName: "a/b"}}, errdefs.IsInvalidArgument, "a bridge's name has 1 to 15"},
		"foreign":  {network.CreateRequest{Name: "x", Options: map[string]string{request.OptName: "lo"}}, errdefs.IsConflict, "lo"},
		"overlap":  {network.CreateRequest{Name: "x", IPAM: subnet("10.77.0.128/25")}, errdefs.IsConflict, "overlaps 10.77.0.0/24 of network app"},
		"bits":     {network.CreateRequest{Name: "x", IPAM: subnet("10.78.0.1/24")}, errdefs.IsInvalidArgument, "10.78.0.1/24"},
		"gateway":  {network.CreateRequest{Name: "x", IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: netip.MustParsePrefix("10.78.0.0/24"), Gateway: netip.MustParseAddr("10.79.0.1")}}}}, errdefs.IsInvalidArgument, "10.79.0.1"},
		"no range": {network.CreateRequest{Name: "x", IPAM: &network.IPAM{Config: []network.IPAMConfig{{Gateway: netip.MustParseAddr("10.79.0.1")}}}}, errdefs.IsInvalidArgument, "needs its --subnet"},
		"ipam":     {network.CreateRequest{Name: "x", IPAM: &network.IPAM{Driver: "dhcp"}}, errdefs.IsInvalidArgument, `IPAM driver "dhcp"`},
	} {
		_, err := n.Create(test.r)
		if err == nil || !test.class(err) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want %q", name, err, test.text)
		}
	}
	if len(n.List()) != 4 {
		t.Errorf("refused networks are there: %v", n.List())
	}
	files, err := os.ReadDir(n.Root)
	if err != nil || len(files) != 1 {
		t.Errorf("files: %v, %v", files, err)
	}
	for _, ref := range []string{"bridge", "host", "none"} {
		if _, err := n.Remove(ref); !errdefs.IsPermissionDenied(err) {
			t.Errorf("remove %s: %v", ref, err)
		}
	}
	if _, err := n.Remove(app.ID[:8]); err != nil {
		t.Error(err)
	}
	if _, err := n.Get("app"); !errdefs.IsNotFound(err) {
		t.Errorf("after it was removed: %v", err)
	}
}

func join(t *testing.T, n *Networks, id, name string, wants ...Want) *Sandbox {
	t.Helper()
	sb, err := n.Join(Request{Container: id, Name: name, Networks: wants})
	if err != nil {
		t.Fatal(err)
	}
	return sb
}

func TestJoin(t *testing.T) {
	newHost(t)
	dir := t.TempDir()
	n := open(t, dir)
	for _, r := range []network.CreateRequest{
		{Name: "app", IPAM: subnet("10.77.0.0/24")},
		{Name: "inside", IPAM: subnet("10.78.0.0/24"), Internal: true},
	} {
		if _, err := n.Create(r); err != nil {
			t.Fatal(err)
		}
	}
	alias := &network.EndpointSettings{Aliases: []string{"Shared"}}
	a := join(t, n, idA, "a", Want{"app", alias}, Want{"inside", nil})
	b := join(t, n, idB, "b", Want{"app", alias})
	addrA, addrB := netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.77.0.3")
	if a.Addresses()[0] != addrA || b.Addresses()[0] != addrB {
		t.Fatalf("addresses: %v, %v", a.Addresses(), b.Addresses())
	}
	if pairs := a.Pairs(); len(pairs) != 2 || pairs[0].Inside != "eth0" || len(pairs[0].Gateways) != 1 || len(pairs[1].Gateways) != 0 {
		t.Errorf("only the network that leads to the world has a gateway: %+v", pairs)
	}
	for _, test := range []struct {
		from  netip.Addr
		name  string
		addrs []netip.Addr
		known bool
	}{
		{addrA, "b", []netip.Addr{addrB}, true},
		{addrA, "b.app", []netip.Addr{addrB}, true},
		{addrA, "shared", []netip.Addr{addrA, addrB}, true},
		{addrB, idA[:12], []netip.Addr{addrA}, true},
		{addrB, "a.inside", nil, false}, // it is not in there
		{addrB, "c", nil, false},
		{netip.MustParseAddr("192.0.2.1"), "a", nil, false},
	} {
		addrs, known := n.Lookup(test.from, test.name)
		if known != test.known || !slices.Equal(addrs, test.addrs) {
			t.Errorf("%s asks for %s: %v, %v; want %v, %v", test.from, test.name, addrs, known, test.addrs, test.known)
		}
	}
	if name, known := n.Reverse(addrA, addrB); name != "b.app" || !known {
		t.Errorf("reverse: %q, %v", name, known)
	}
	if _, external := n.Upstreams(addrA); !external {
		t.Error("a network that leads to the world has no name servers there")
	}
	if _, err := n.Remove("app"); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "in use by a, b") {
		t.Errorf("remove a network in use: %v", err)
	}
	// An address by name, and one that is taken.
	fixed := func(s string) *network.EndpointSettings {
		return &network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr(s)}}
	}
	if _, err := n.Join(Request{Container: idB, Name: "c", Networks: []Want{{"app", fixed("10.77.0.2")}}}); !errdefs.IsConflict(err) {
		t.Errorf("an address that is taken: %v", err)
	}
	if err := n.Check([]Want{{"app", fixed("10.99.0.2")}}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("an address of another subnet: %v", err)
	}
	if err := n.Leave(idB); err != nil {
		t.Error(err)
	}
	if _, known := n.Lookup(addrA, "b"); known {
		t.Error("the name of a container that has left is known")
	}

	// What is kept of a sandbox is all that the next daemon needs.
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var kept Sandbox
	if err := json.Unmarshal(data, &kept); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, &kept, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.IgnoreFields(Endpoint{}, "Under")); diff != "" {
		t.Error(diff)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, dir)
	if _, err := next.Restore(&kept, nil, os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if err := next.Reconcile(); err != nil {
		t.Fatal(err)
	}
	if got := join(t, next, idB, "b", Want{"app", alias}); got.Addresses()[0] != addrB {
		t.Errorf("after a restart the address is %v", got.Addresses())
	}
	if _, known := next.Lookup(addrB, "a"); !known {
		t.Error("after a restart the name is not known")
	}
}

// Ports are held, led to the container with the default route, and let go.
func TestPublish(t *testing.T) {
	newHost(t)
	n := open(t, t.TempDir())
	want := []portmap.Want{{Protocol: network.TCP, Inside: 80, First: 8080, Last: 8080}}
	sb, err := n.Join(Request{Container: idA, Name: "web", Networks: []Want{{"default", nil}}, Ports: want})
	if err != nil {
		t.Fatal(err)
	}
	if rules := sb.Rules(); len(rules) != 1 || rules[0].To.Port() != 80 || rules[0].Host != netip.MustParseAddrPort("0.0.0.0:8080") {
		t.Errorf("rules: %v", rules)
	}
	_, err = n.Join(Request{Container: idB, Name: "other", Networks: []Want{{"default", nil}}, Ports: want})
	if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "published by container web") {
		t.Errorf("a port that is taken: %v", err)
	}
	if sb := n.Sandbox(idB); sb != nil {
		t.Errorf("of a refused container is left: %+v", sb)
	}
	if err := n.Leave(idA); err != nil {
		t.Fatal(err)
	}
	if _, err = n.Join(Request{Container: idB, Name: "other", Networks: []Want{{"default", nil}}, Ports: want}); err != nil {
		t.Errorf("a port that was let go: %v", err)
	}
}

// Forwarding that somebody turns off is turned on again, but not for ever; a bridge of
// berth's is not among the interfaces between which nothing is forwarded then.
func TestForwarding(t *testing.T) {
	newHost(t)
	n := open(t, t.TempDir())
	const control = "/proc/sys/net/ipv4/ip_forward"
	if err := os.WriteFile(control, []byte("1"), 0); err != nil { // a router already
		t.Fatal(err)
	}
	join(t, n, idA, "a", Want{"default", nil})
	for i := range maxForwarding + 2 {
		if err := os.WriteFile(control, []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
		if err := n.repair(); err != nil {
			t.Fatal(err)
		}
		want := "1\n"
		if i >= maxForwarding {
			want = "0\n"
		}
		if have, err := os.ReadFile(control); err != nil || string(have) != want {
			t.Errorf("after repair %d: %q, %v; want %q", i, have, err, want)
		}
	}
	if up := n.uplinks(forwarding4); slices.Contains(up, n.bridgeName()) {
		t.Errorf("uplinks: %v", up)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"Version":1,"Network":{"Name":"a","Id":"` + idA + `","IPAM":{"Config":[{"Subnet":"10.0.0.0/24"}]},"Options":{"` + request.OptMTU + `":"1400"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := &Networks{Config: Config{Root: t.TempDir()}}
		if err := os.WriteFile(filepath.Join(n.Root, "a"+".json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := n.load("a.json")
		if err == nil && (s.Iface == "" || len(s.bridge().Addresses) == 0) {
			t.Errorf("took %s", data)
		}
	})
}

// TestUplinks: what berth made itself before it turned forwarding on is none of the
// interfaces between which nothing is forwarded.
func TestUplinks(t *testing.T) {
	newHost(t)
	if out, err := exec.Command("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n := open(t, t.TempDir())
	rec, err := n.Create(network.CreateRequest{Name: "app", IPAM: subnet("10.78.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ready(); err != nil {
		t.Fatal(err)
	}
	bridge := "br-" + rec.ID[:12]
	if up := n.rules().Uplinks6; !slices.Contains(up, "up0") || slices.Contains(up, bridge) {
		t.Errorf("uplinks: %v", up)
	}
}
