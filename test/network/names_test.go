package network

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sorted joins addresses as look does.
func sorted(all ...string) string {
	slices.Sort(all)
	return strings.Join(all, " ")
}

// found checks what names are resolved to in a container.
func (l *lab) found(in string, names map[string]string) {
	l.t.Helper()
	var keys, values []string
	for k, v := range names {
		keys, values = append(keys, k), append(values, v)
	}
	got := strings.Split(l.look(in, keys...), "\n")
	for i, k := range keys {
		if i >= len(got) || got[i] != values[i] {
			l.t.Errorf("in %s, %s is resolved to %q; want %q", in, k, got[min(i, len(got)-1)], values[i])
		}
	}
}

// TestNames: which names a container finds, and which not.
func TestNames(t *testing.T) {
	l := start(t)
	for _, n := range []string{"front", "back"} {
		l.Must(t, "network", "create", "--ipv6", n)
	}
	l.serve("asker", "--network front")
	l.serve("db1", "--network front --network-alias db --network-alias DB-one --hostname dbhost")
	l.serve("db2", "--network front --network-alias db")
	l.serve("far", "--network back")
	id := l.inspect("db1").ID
	db1, db1six := l.addr("db1", "front"), l.addr6("db1", "front")
	db2, db2six := l.addr("db2", "front"), l.addr6("db2", "front")
	l.found("asker", map[string]string{
		"db1": sorted(db1, db1six), "db1.front": sorted(db1, db1six), "DB1": sorted(db1, db1six), id[:12]: sorted(db1, db1six),
		"dbhost": sorted(db1, db1six), "db-one": sorted(db1, db1six), "db": sorted(db1, db1six, db2, db2six),
		"far": "-", "db1.back": "-", "nobody": "-",
		db1: "db1.front.", db1six: "db1.front.", l.addr("far", "back"): "-",
	})
	want(t, "by name", l.addr("asker", "front"))(l.in("asker", "ask", "tcp4", "db1:80"))
	want(t, "by name, IPv6", l.addr6("asker", "front"))(l.in("asker", "ask", "tcp6", "db1.front:80"))

	l.Must(t, "rename", "db1", "db9")
	l.found("asker", map[string]string{"db9": sorted(db1, db1six), "db1": "-", "db-one": sorted(db1, db1six), db1: "db9.front."})
	if got := l.network("front").Containers[id].Name; got != "db9" {
		t.Errorf("after a rename network inspect shows %s", got)
	}
	l.Must(t, "stop", "-t", "0", "db9")
	l.found("asker", map[string]string{"db9": "-", "db": sorted(db2, db2six)})
	l.Must(t, "start", "db9")
	l.found("asker", map[string]string{"db9": sorted(l.addr("db9", "front"), l.addr6("db9", "front"))})
}

// TestNamesUnderLoad: of many questions none is lost.
func TestNamesUnderLoad(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "n1")
	l.serve("c1", "--network n1")
	l.serve("c2", "--network n1")
	want(t, "1000 look-ups", "0 lost")(l.in("c1", "load", "c2", "1000"))
}

// TestNamesFollowNetworks: names, addresses, routes and ports follow a running
// container from network to network.
func TestNamesFollowNetworks(t *testing.T) {
	l := start(t)
	o := cable(t)
	for _, n := range []string{"n1", "n2"} {
		l.Must(t, "network", "create", n)
	}
	l.serve("in1", "--network n1")
	l.serve("in2", "--network n2")
	l.serve("mover", "--network n1 -p 8080:80")
	l.Must(t, "network", "connect", "--alias", "also", "n2", "mover")
	l.found("in2", map[string]string{"mover": l.addr("mover", "n2"), "also": l.addr("mover", "n2")})
	l.found("in1", map[string]string{"mover": l.addr("mover", "n1"), "also": "-"})
	l.found("mover", map[string]string{"in1": l.addr("in1", "n1"), "in2": l.addr("in2", "n2")})
	want(t, "in its second network", l.addr("in2", "n2"))(l.in("in2", "ask", "tcp", "mover:80"))
	want(t, "port while in two networks", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	if hosts := l.Must(t, "exec", "mover", "cat", "/etc/hosts"); !strings.Contains(hosts, l.addr("mover", "n2")+"\t") {
		t.Errorf("/etc/hosts misses the second network:\n%s", hosts)
	}

	l.Must(t, "network", "disconnect", "n1", "mover")
	l.found("in1", map[string]string{"mover": "-"})
	l.found("mover", map[string]string{"in1": "-", "in2": l.addr("in2", "n2"), "mover": l.addr("mover", "n2")})
	if route := l.Must(t, "exec", "mover", "ip", "route"); !strings.Contains(route, "default via "+text(l.endpoint("mover", "n2").Gateway)) {
		t.Errorf("routes in the second network only:\n%s", route)
	}
	want(t, "port after its network is left", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))

	l.Must(t, "network", "disconnect", "n2", "mover")
	l.found("in2", map[string]string{"mover": "-"})
	if links := l.Must(t, "exec", "mover", "ip", "a"); strings.Contains(links, "eth") {
		t.Errorf("interfaces in no network:\n%s", links)
	}
	wantError(t, "port in no network", "refused")(o.ask("tcp", at(hostAddr, "8080")))
	l.Must(t, "network", "connect", "n1", "mover")
	l.found("in1", map[string]string{"mover": l.addr("mover", "n1")})
	l.found("mover", map[string]string{"in1": l.addr("in1", "n1")})
	want(t, "port in a network again", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	l.Must(t, "restart", "-t", "0", "mover")
	l.serving("mover")
	l.found("mover", map[string]string{"in1": l.addr("in1", "n1"), "in2": "-"})
}

// TestConnectStopped: a stopped container is in its new networks when it starts.
func TestConnectStopped(t *testing.T) {
	l := start(t)
	for _, n := range []string{"n1", "n2"} {
		l.Must(t, "network", "create", n)
	}
	l.serve("in2", "--network n2")
	l.Must(t, args("create --name c1", player("serve"), "--network n1 toolbox /x 80")...)
	l.Must(t, "network", "connect", "--alias", "also", "n2", "c1")
	l.Must(t, "network", "disconnect", "n1", "c1")
	if nets := l.inspect("c1").NetworkSettings.Networks; len(nets) != 1 || nets["n2"] == nil {
		t.Errorf("networks before the start: %v", nets)
	}
	l.Must(t, "start", "c1")
	l.serving("c1")
	l.found("in2", map[string]string{"c1": l.addr("c1", "n2"), "also": l.addr("c1", "n2")})
	want(t, "the container in its new network", l.addr("in2", "n2"))(l.in("in2", "ask", "tcp", "also:80"))
}

// TestWishes: addresses, routes and files as they were asked for.
func TestWishes(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "--subnet", "10.50.0.0/24", "--subnet", "fd50::/64", "a")
	l.Must(t, "network", "create", "--subnet", "10.51.0.0/24", "b")
	l.serve("c1", "--network a --network b --ip 10.50.0.77 --ip6 fd50::77 --mac-address 02:00:00:00:00:77 --add-host up:host-gateway --dns 192.0.2.53 --dns-search example.net --dns-option ndots:2")
	if got := fmt.Sprint(l.addr("c1", "a"), " ", l.addr6("c1", "a"), " ", l.endpoint("c1", "a").MacAddress); got != "10.50.0.77 fd50::77 02:00:00:00:00:77" {
		t.Errorf("inspect shows %s", got)
	}
	links := l.Must(t, "exec", "c1", "ip", "a")
	for _, part := range []string{"10.50.0.77/24", "fd50::77/64", "02:00:00:00:00:77", "eth1", l.addr("c1", "b") + "/24"} {
		if !strings.Contains(links, part) {
			t.Errorf("ip a misses %s:\n%s", part, links)
		}
	}
	if route := l.Must(t, "exec", "c1", "ip", "route"); !strings.Contains(route, "default via 10.50.0.1") {
		t.Errorf("default route:\n%s", route)
	}
	hosts := l.Must(t, "exec", "c1", "cat", "/etc/hosts")
	for _, part := range []string{"10.50.0.1\tup", "10.50.0.77\t", "fd50::77\t", "127.0.0.1\tlocalhost"} {
		if !strings.Contains(hosts, part) {
			t.Errorf("/etc/hosts misses %q:\n%s", part, hosts)
		}
	}
	resolv := l.Must(t, "exec", "c1", "cat", "/etc/resolv.conf")
	for _, part := range []string{"nameserver 10.50.0.254", "nameserver 10.51.0.254", "search example.net", "options ndots:2"} {
		if !strings.Contains(resolv, part) {
			t.Errorf("/etc/resolv.conf misses %q:\n%s", part, resolv)
		}
	}
	l.Must(t, args("run -d --name c2 --network name=a --network name=b,gw-priority=5,alias=bb toolbox sleep 1000")...)
	if route := l.Must(t, "exec", "c2", "ip", "route"); !strings.Contains(route, "default via 10.51.0.1") {
		t.Errorf("default route with gw-priority:\n%s", route)
	}
	l.found("c1", map[string]string{"bb": l.addr("c2", "b"), "bb.b": l.addr("c2", "b"), "bb.a": "-"})
}
