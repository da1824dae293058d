package firewall_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/network/firewall"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden documents")

// document lists a table as nft does, but the same everywhere: the kernel's order of
// elements is arbitrary, so they are sorted, one a line; and nft has names of
// protocols only where there is a file of them.
func document(s *space, table string) string {
	text := s.run("", "nft", "--numeric-protocol", "list", "table", "inet", table)
	text = regexp.MustCompile(`\b(6|17|132) \. \d+ : `).ReplaceAllStringFunc(text, func(key string) string {
		number, port, _ := strings.Cut(key, " ")
		return map[string]string{"6": "tcp", "17": "udp", "132": "sctp"}[number] + " " + port
	})
	return regexp.MustCompile(`elements = \{[^}]*\}`).ReplaceAllStringFunc(text, func(list string) string {
		list = strings.TrimSuffix(strings.TrimPrefix(list, "elements = {"), "}")
		all := strings.Split(list, ",")
		for i := range all {
			all[i] = "\n\t\t\t" + strings.TrimSpace(all[i])
		}
		slices.Sort(all)
		return "elements = {" + strings.Join(all, ",") + " }"
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func twoNetworks() firewall.State {
	return firewall.State{
		Networks: []firewall.Network{
			{Bridge: "berth0", Subnets: prefixes("172.18.0.0/16", "fd00:18::/64"), Masquerade: true},
			{Bridge: "br-0123456789ab", Subnets: prefixes("172.19.0.0/16"), Internal: true, Masquerade: true},
		},
		Ports: []firewall.Port{
			port("tcp", "0.0.0.0:8080", "172.18.0.2:80"),
			port("tcp", "[::]:8080", "[fd00:18::2]:80"),
			port("udp", "0.0.0.0:53", "172.18.0.2:5353"),
			port("sctp", "0.0.0.0:53", "172.18.0.2:5353"),
			port("tcp", "127.0.0.1:8080", "172.18.0.3:80"),
			port("tcp", "[2001:db8::1]:8080", "[fd00:18::3]:80"),
		},
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	table := open(t, s, "berth")
	for _, test := range []struct {
		name  string
		state firewall.State
	}{
		{"base.nft", firewall.State{}},
		{"networks.nft", twoNetworks()},
		{"uplinks.nft", firewall.State{Uplinks4: []string{"eth0", "wlan0"}, Uplinks6: []string{"eth0"}}},
	} {
		if err := table.Reset(test.state); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		golden(t, test.name, document(s, "berth"))
		// What nft lists, nft reads.
		s.nft("flush ruleset\n" + s.run("", "nft", "list", "table", "inet", "berth"))
	}
}

// Adding and removing leads to what Reset writes.
func TestChangesAndReset(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	changed, reset := open(t, s, "changed"), open(t, s, "anew")
	same := func(what string, state firewall.State) {
		t.Helper()
		if err := reset.Reset(state); err != nil {
			t.Fatal(err)
		}
		want := strings.Replace(document(s, "anew"), "table inet anew", "table inet changed", 1)
		if diff := cmp.Diff(want, document(s, "changed")); diff != "" {
			t.Errorf("%s (-reset +changed):\n%s", what, diff)
		}
	}
	do := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	all := twoNetworks()
	neighbour := firewall.Network{Bridge: "berth9", Subnets: prefixes("172.17.0.0/16", "172.19.0.0/16", "fd00:18:0:1::/64"), Masquerade: true}
	do(changed.Reset(firewall.State{}))
	for range 2 { // adding again is no error
		do(changed.AddNetwork(all.Networks[0]), changed.AddNetwork(all.Networks[1]), changed.AddNetwork(neighbour),
			changed.AddPorts(all.Ports), changed.AddPorts(nil))
	}
	same("all added", firewall.State{Networks: append(all.Networks, neighbour), Ports: all.Ports})
	do(changed.RemoveNetwork(all.Networks[0]), changed.RemovePorts(all.Ports[:3]))
	same("some removed", firewall.State{Networks: []firewall.Network{all.Networks[1], neighbour}, Ports: all.Ports[3:]})
	for range 2 { // with some that are there no more
		do(changed.RemovePorts(all.Ports), changed.RemoveNetwork(all.Networks[1]), changed.RemoveNetwork(neighbour))
	}
	same("all removed", firewall.State{})
}

func TestErrors(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	table := open(t, s, "berth")
	web := port("tcp", "0.0.0.0:8080", "172.18.0.2:80")
	other := port("tcp", "0.0.0.0:8080", "172.18.0.3:80")
	free := port("tcp", "0.0.0.0:8081", "172.18.0.3:80")
	if err := table.AddPorts([]firewall.Port{web}); !errors.Is(err, errdefs.ErrFailedPrecondition) {
		t.Errorf("add a port without a table: %v, want FailedPrecondition", err)
	}
	if err := errors.Join(table.RemovePorts([]firewall.Port{web, other}), table.Delete()); err != nil {
		t.Errorf("remove a port and a table that are not there: %v", err)
	}
	if err := table.Reset(firewall.State{Ports: []firewall.Port{web}}); err != nil {
		t.Fatal(err)
	}
	before := document(s, "berth")
	for name, err := range map[string]error{
		"published already": table.AddPorts([]firewall.Port{free, other}),
		"published twice":   table.AddPorts([]firewall.Port{free, port("tcp", "0.0.0.0:8081", "172.18.0.4:80")}),
		"reset, twice":      table.Reset(firewall.State{Ports: []firewall.Port{web, other}}),
		"overlapping networks": table.Reset(firewall.State{Networks: []firewall.Network{
			{Bridge: "a", Subnets: prefixes("10.0.0.0/8"), Masquerade: true},
			{Bridge: "b", Subnets: prefixes("10.1.0.0/16"), Masquerade: true},
		}}),
	} {
		if !errors.Is(err, errdefs.ErrAlreadyExists) {
			t.Errorf("%s: %v, want AlreadyExists", name, err)
		}
	}
	if diff := cmp.Diff(before, document(s, "berth")); diff != "" {
		t.Errorf("after errors (-want +got):\n%s", diff)
	}
	if err := table.RemovePorts([]firewall.Port{other}); err != nil || strings.Contains(document(s, "berth"), "8080") {
		t.Errorf("remove a port that leads elsewhere: %v\n%s", err, document(s, "berth"))
	}
	for _, p := range []firewall.Port{
		port("icmp", "0.0.0.0:80", "172.18.0.2:80"),
		port("tcp", "0.0.0.0:80", "[fd00::2]:80"),
		port("tcp", "0.0.0.0:0", "172.18.0.2:80"),
		port("tcp", "0.0.0.0:80", "0.0.0.0:80"),
		{Protocol: "tcp"},
	} {
		if err := table.AddPorts([]firewall.Port{p}); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("publish %s for %s: %v, want InvalidArgument", p, p.To, err)
		}
	}
	for _, n := range []firewall.Network{{}, {Bridge: "0123456789abcdef"}, {Bridge: "a/b"}, {Bridge: "a", Subnets: prefixes("::ffff:1.2.3.4/128")}} {
		if err := table.AddNetwork(n); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("add network %v: %v, want InvalidArgument", n, err)
		}
	}
	s.do(func() {
		if _, err := firewall.Open("no; such"); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("open a table of an invalid name: %v, want InvalidArgument", err)
		}
	})
}

func TestIntact(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	table := open(t, s, "berth")
	look := func(what string, want bool) {
		t.Helper()
		if got, err := table.Intact(); got != want || err != nil {
			t.Errorf("%s: intact %v, %v; want %v", what, got, err, want)
		}
	}
	look("before the first reset", false)
	for _, damage := range []string{
		"flush ruleset",
		"delete table inet berth",
		"flush table inet berth",
		"flush chain inet berth published",
		"add table inet berth { flags dormant; }",
		"add rule inet berth forward accept",
		"insert rule inet berth inward accept",
	} {
		if err := table.Reset(twoNetworks()); err != nil {
			t.Fatal(err)
		}
		look("after a reset, before "+damage, true)
		s.nft(damage)
		look(damage, false)
	}
	if err := table.Reset(firewall.State{Uplinks4: []string{"eth0"}}); err != nil {
		t.Fatal(err)
	}
	look("reset with uplinks", true)
	s.nft("add table inet other\nadd chain inet other x")
	if err := table.AddNetwork(twoNetworks().Networks[0]); err != nil {
		t.Fatal(err)
	}
	look("another table and an element", true)
	start := time.Now()
	look("timed", true)
	t.Logf("Intact took %v", time.Since(start))
	if err := table.Delete(); err != nil {
		t.Fatal(err)
	}
	look("deleted", false)
	if got := s.run("", "nft", "list", "tables"); got != "table inet other\n" {
		t.Errorf("tables after Delete: %q", got)
	}
}

func TestManyPorts(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	table := open(t, s, "berth")
	if err := table.Reset(firewall.State{}); err != nil {
		t.Fatal(err)
	}
	empty := document(s, "berth")
	for _, count := range []int{500, 30000} {
		var ports []firewall.Port
		for i := range count {
			ports = append(ports,
				port("tcp", fmt.Sprintf("0.0.0.0:%d", i+1), "172.18.0.2:80"),
				port("udp", fmt.Sprintf("[2001:db8::1]:%d", i+1), "[fd00::2]:80"))
		}
		start := time.Now()
		if err := table.AddPorts(ports); err != nil {
			t.Fatal(err)
		}
		added := time.Now()
		if err := table.RemovePorts(ports); err != nil {
			t.Fatal(err)
		}
		removed := time.Now()
		if err := table.Reset(firewall.State{Ports: ports}); err != nil {
			t.Fatal(err)
		}
		t.Logf("2x%d ports: add %v, remove %v, reset %v", count, added.Sub(start), removed.Sub(added), time.Since(removed))
		if got := strings.Count(s.run("", "nft", "list", "map", "inet", "berth", "ports4"), "172.18.0.2"); got != count {
			t.Errorf("%d elements in ports4, want %d", got, count)
		}
		if err := table.RemovePorts(ports); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(empty, document(s, "berth")); diff != "" {
			t.Errorf("after removal (-want +got):\n%s", diff)
		}
	}
}
