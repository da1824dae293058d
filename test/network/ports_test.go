package network

import (
	"net"
	"regexp"
	"strings"
	"testing"
)

// at joins address and port.
func at(addr, port string) string { return net.JoinHostPort(addr, port) }

// TestPublishedPorts: a published port is reached from everywhere, and the
// server sees who its client is wherever that is possible.
func TestPublishedPorts(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "--ipv6", "six")
	l.Must(t, "network", "create", "--ipv6", "other")
	l.serve("web", "--network six -p 8080:80 -p 8080:80/udp")
	l.serve("elsewhere", "--network other")
	self, gw := l.addr("web", "six"), text(l.endpoint("web", "six").Gateway)
	self6, gw6 := l.addr6("web", "six"), text(l.endpoint("web", "six").IPv6Gateway)
	for _, proto := range []string{"tcp", "udp"} {
		want(t, proto+" from outside", otherAddr)(o.ask(proto, at(hostAddr, "8080")))
		want(t, proto+" from outside, IPv6", other6)(o.ask(proto, at(hostAddr6, "8080")))
		want(t, proto+" from the host by 127.0.0.1", gw)(ask(proto, "127.0.0.1:8080"))
		want(t, proto+" from the host by 127.0.0.2", gw)(ask(proto, "127.0.0.2:8080"))
		want(t, proto+" from the host by its address", hostAddr)(ask(proto, at(hostAddr, "8080")))
		want(t, proto+" from the host by its IPv6 address", hostAddr6)(ask(proto, at(hostAddr6, "8080")))
		want(t, proto+" from the host by the gateway", gw)(ask(proto, at(gw, "8080")))
		want(t, proto+" from the host to the container", gw)(ask(proto, at(self, "80")))
		want(t, proto+" from the host to the container, IPv6", gw6)(ask(proto, at(self6, "80")))
		want(t, proto+" from itself by the host's address", gw)(l.in("web", "ask", proto, at(hostAddr, "8080")))
		want(t, proto+" from itself by the gateway", gw)(l.in("web", "ask", proto, at(gw, "8080")))
		want(t, proto+" from itself by IPv6", gw6)(l.in("web", "ask", proto, at(hostAddr6, "8080")))
		want(t, proto+" from another network", l.addr("elsewhere", "other"))(l.in("elsewhere", "ask", proto, at(hostAddr, "8080")))
		want(t, proto+" from another network, IPv6", l.addr6("elsewhere", "other"))(l.in("elsewhere", "ask", proto, at(hostAddr6, "8080")))
		wantError(t, proto+" port that is not published", "refused")(o.ask(proto, at(hostAddr, "80")))
	}
	l.Must(t, "rm", "-f", "web")
	for _, proto := range []string{"tcp", "udp"} {
		wantError(t, proto+" after rm", "refused")(o.ask(proto, at(hostAddr, "8080")))
		wantError(t, proto+" after rm by 127.0.0.1", "refused")(ask(proto, "127.0.0.1:8080"))
	}
	free, err := net.Listen("tcp", ":8080")
	if err != nil {
		t.Fatal("the port is not free after rm:", err)
	}
	free.Close()
}

// TestPublishForms: what -p and -P understand, and where it is shown.
func TestPublishForms(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.serve("web", "-p 127.0.0.1:8081:80 -p 192.0.2.1:8082:80/udp -p 80 -p 9000-9002:80-82 -p 0.0.0.0::80 --expose 81/udp")
	want(t, "port of 127.0.0.1", text(l.endpoint("web", "bridge").Gateway))(ask("tcp", "127.0.0.1:8081"))
	wantError(t, "port of 127.0.0.1 from outside", "refused")(o.ask("tcp", at(hostAddr, "8081")))
	want(t, "port of one address", otherAddr)(o.ask("udp", at(hostAddr, "8082")))
	wantError(t, "port of one address by another", "refused")(ask("udp", "127.0.0.1:8082"))
	want(t, "first port of a range", otherAddr)(o.ask("tcp", at(hostAddr, "9000")))
	wantError(t, "port that nobody listens at", "refused")(o.ask("tcp", at(hostAddr, "9001")))

	shown := l.Must(t, "port", "web")
	form := regexp.MustCompile(`(?m)^80/tcp -> 127.0.0.1:8081$[\s\S]*^80/udp -> 192.0.2.1:8082$[\s\S]*^81/tcp -> 0.0.0.0:9001$`)
	if !form.MatchString(shown) || strings.Count(shown, "80/tcp -> 0.0.0.0:") != 3 {
		t.Errorf("berth port:\n%s", shown)
	}
	random := ""
	for _, line := range strings.Split(l.Must(t, "port", "web", "80"), "\n") {
		if port, ok := strings.CutPrefix(line, "0.0.0.0:"); ok && port != "9000" {
			random = port
			want(t, "random port", otherAddr)(o.ask("tcp", at(hostAddr, port)))
		}
	}
	if ps := l.Must(t, "ps", "--format", "{{.Ports}}"); !strings.Contains(ps, "127.0.0.1:8081->80/tcp") ||
		!strings.Contains(ps, "192.0.2.1:8082->80/udp") || !strings.Contains(ps, "81/udp") || !strings.Contains(ps, random+"->80/tcp") {
		t.Errorf("berth ps: %s", ps)
	}
	c := l.inspect("web")
	if n := len(c.NetworkSettings.Ports); n != 5 {
		t.Errorf("inspect shows %d ports: %v", n, c.NetworkSettings.Ports)
	}
	// A range of the host's for one port: the first free one.
	l.serve("one", "-p 9000-9010:80")
	if got := l.Must(t, "port", "one", "80/tcp"); got != "0.0.0.0:9003" {
		t.Errorf("first free port of a range: %s", got)
	}
	l.serve("all", "-P --expose 80")
	port := strings.TrimPrefix(l.Must(t, "port", "all", "80"), "0.0.0.0:")
	want(t, "-P", otherAddr)(o.ask("tcp", at(hostAddr, port)))
	l.Must(t, "stop", "-t", "0", "web")
	if got, _, _ := l.Berth(t, "port", "web"); got != "" {
		t.Errorf("ports of a stopped container: %s", got)
	}
	wantError(t, "port after stop", "refused")(o.ask("tcp", at(hostAddr, "9000")))
	l.Must(t, "start", "web")
	again(t, "port after start", otherAddr, func() (string, error) { return o.ask("tcp", at(hostAddr, "9000")) }) // the log has the last run's word too
}

// TestChangedTarget: who published a port of UDP a moment ago gets nothing of
// the next container's.
func TestChangedTarget(t *testing.T) {
	l := start(t)
	o := cable(t)
	// One socket: a flow goes on as long as its ports are the same.
	var c net.Conn
	o.do(t, func() (err error) {
		c, err = net.Dial("udp", at(hostAddr, "8080"))
		return err
	})
	defer c.Close()
	for _, name := range []string{"c1", "c2", "c3"} {
		l.serve(name, "-p 8080:80/udp")
		answer, err := askOn(c)
		want(t, "UDP to "+name, otherAddr)(answer, err)
		l.Must(t, "rm", "-f", name)
		if answer, err := askOn(c); err == nil {
			t.Errorf("after rm of %s: %q", name, answer)
		}
	}
}
