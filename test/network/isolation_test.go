package network

import (
	"testing"
)

// TestIsolation: what a container must not reach, and that masquerading works.
func TestIsolation(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "--ipv6", "n1")
	l.Must(t, "network", "create", "--ipv6", "n2")
	l.Must(t, "network", "create", "--ipv6", "--internal", "inner")
	l.Must(t, "network", "create", "--ipv6", "-o", "com.docker.network.bridge.enable_icc=false", "lonely")
	l.serve("c1", "--network n1")
	l.serve("c2", "--network n2")
	l.serve("i1", "--network inner")
	l.serve("i2", "--network inner")
	l.serve("l1", "--network lonely -p 8080:80")
	l.serve("l2", "--network lonely")
	o.listen(t)

	for _, v := range []struct {
		addr        func(name, in string) string
		host, other string
	}{{l.addr, hostAddr, otherAddr}, {l.addr6, hostAddr6, other6}} {
		want(t, "the outside sees the host's address", v.host)(l.in("c1", "ask", "tcp", at(v.other, "80")))
		want(t, "the outside sees the host's address, no icc", v.host)(l.in("l1", "ask", "tcp", at(v.other, "80")))
		wantError(t, "another network", "silent")(l.in("c1", "ask", "tcp", at(v.addr("c2", "n2"), "80")))
		wantError(t, "an unpublished port from outside", "silent")(o.ask("tcp", at(v.addr("c1", "n1"), "80")))
		want(t, "within an internal network", v.addr("i1", "inner"))(l.in("i1", "ask", "tcp", at(v.addr("i2", "inner"), "80")))
		wantError(t, "out of an internal network", "unreachable")(l.in("i1", "ask", "tcp", at(v.other, "80")))
		wantError(t, "into an internal network", "silent")(o.ask("tcp", at(v.addr("i1", "inner"), "80")))
		wantError(t, "into an internal network from another", "silent")(l.in("c1", "ask", "tcp", at(v.addr("i1", "inner"), "80")))
		wantError(t, "without icc", "")(l.in("l2", "ask", "tcp", at(v.addr("l1", "lonely"), "80")))
		want(t, "a published port, no icc", v.other)(o.ask("tcp", at(v.host, "8080")))
	}
	l.found("i1", map[string]string{"i2": sorted(l.addr("i2", "inner"), l.addr6("i2", "inner")), "c1": "-", "example.com": "-"})
	l.found("l2", map[string]string{"l1": sorted(l.addr("l1", "lonely"), l.addr6("l1", "lonely"))})
}

// TestForeignFirewall: what the host's own rules drop stays dropped, and names are
// answered all the same.
func TestForeignFirewall(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "n1")
	l.serve("c1", "--network n1 -p 8080:80 -p 8081:80")
	l.serve("c2", "--network n1")
	shell(t, `nft -f - <<-'X'
		table inet foreign {
			chain forward {
				type filter hook forward priority filter + 10;
				ct original ip daddr 192.0.2.1 meta l4proto tcp ct original proto-dst 8080 drop
			}
			chain input {
				type filter hook input priority filter; policy drop;
				iifname "lo" accept
				ct state established accept
			}
		}
	X`)
	t.Cleanup(func() { shell(t, "nft delete table inet foreign") })
	wantError(t, "a port that the host's rules drop", "silent")(o.ask("tcp", at(hostAddr, "8080")))
	want(t, "another port", otherAddr)(o.ask("tcp", at(hostAddr, "8081")))
	l.found("c2", map[string]string{"c1": l.addr("c1", "n1")})
}

// TestTwoBerths: two berths of one host have networks beside each other.
func TestTwoBerths(t *testing.T) {
	a, b := start(t), start(t)
	o := cable(t)
	a.serve("web", "-p 8080:80")
	b.serve("web", "-p 8081:80")
	want(t, "port of the first", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	want(t, "port of the second", otherAddr)(o.ask("tcp", at(hostAddr, "8081")))
	wantError(t, "from one to the other", "silent")(a.in("web", "ask", "tcp", at(b.addr("web", "bridge"), "80")))
	wantError(t, "from the other to the one", "silent")(b.in("web", "ask", "tcp", at(a.addr("web", "bridge"), "80")))
	if _, errOut, code := b.Berth(t, "run", "--rm", "-p", "8080:80", "toolbox", "true"); code != 125 {
		t.Errorf("a port that another berth has: exit code %d: %s", code, errOut)
	}
	a.Must(t, "rm", "-f", "web")
	want(t, "port of the second without the first", otherAddr)(o.ask("tcp", at(hostAddr, "8081")))
}
