package network

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// TestErrors: each mistake gets one line that says what is wrong, and leaves nothing.
func TestErrors(t *testing.T) {
	l := start(t)
	cable(t)
	l.Must(t, "network", "create", "--subnet", "10.70.0.0/29", "n1")
	l.Must(t, "network", "create", "--internal", "inner")
	l.serve("web", "--network n1 -p 8080:80")
	taken, err := net.Listen("tcp4", ":8090")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	networks, containers := l.Must(t, "network", "ls", "-q"), l.Must(t, "ps", "-aq")
	self, _ := os.ReadFile("/proc/self/comm")
	for _, c := range []struct {
		args string
		code int
		want string // words of the error
	}{
		{"network create --subnet 10.70.0.0/24 n2", 1, "10.70.0.0/29 of network n1"},
		{"network create --subnet 10.0.0.0/8 n2", 1, "10.70.0.0/29 of network n1"},
		{"network create --subnet 192.0.2.0/25 n2", 1, ""},
		{"network create --subnet 192.0.0.0/16 n2", 1, "192.0.2.0/24, which the host has"},
		{"network create --subnet 10.71.0.0/24 --gateway 10.72.0.1 n2", 125, "10.72.0.1"},
		{"network create --subnet 10.71.0.0/24 --ip-range 10.72.0.0/25 n2", 125, "10.72.0.0/25"},
		{"network create --subnet 10.71.0.1/24 n2", 1, "10.71.0.0/24"},
		{"network create --subnet 10.71.0.0/32 n2", 1, "10.71.0.0/32"},
		{"network create --subnet nonsense n2", 125, "nonsense"},
		{"network create n1", 1, "n1 already exists"},
		{"network create -n1", 125, ""},
		{"network create n/1", 125, "n/1"},
		{"network create bridge", 1, "predefined"},
		{"network create -d overlay n2", 1, `"overlay" is unknown`},
		{"network create -o nonsense=1 n2", 1, "nonsense"},
		{"network create -o com.docker.network.driver.mtu=1 n2", 1, "MTU"},
		{"network rm n1", 1, "in use by web"},
		{"network rm bridge", 1, "cannot be removed"},
		{"network rm nowhere", 1, "nowhere not found"},
		{"network inspect nowhere", 1, "nowhere not found"},
		{"network connect nowhere web", 1, "nowhere not found"},
		{"network connect n1 nobody", 1, "nobody"},
		{"network connect n1 web", 1, "already"},
		{"network connect host web", 1, "host"},
		{"network disconnect inner web", 1, "not connected"},
		{"run --rm --network nowhere registry.invalid/nothing", 125, "nowhere not found"},
		{"run --rm -p 8080:80 toolbox true", 125, "published by container web"},
		{"run --rm -p 8090:80 toolbox true", 125, "in use by " + strings.TrimSpace(string(self))},
		{"run --rm -p 198.51.100.1:8091:80 toolbox true", 125, "198.51.100.1"},
		{"run --rm -p 70000:80 toolbox true", 125, "70000"},
		{"run --rm -p 8092:80/icmp toolbox true", 125, "icmp"},
		{"run --rm -p 8092-8093:80-82 toolbox true", 125, "80-82"},
		{"run --rm --network inner -p 8092:80 toolbox true", 125, "internal"},
		{"run --rm --network n1 --ip 10.70.0.1 toolbox true", 125, "10.70.0.1"},
		{"run --rm --network n1 --ip 10.70.0.2 toolbox true", 125, "10.70.0.2"},
		{"run --rm --network n1 --ip 10.71.0.2 toolbox true", 125, "10.70.0.0/29"},
		{"run --rm --network n1 --ip6 fd00::1 toolbox true", 125, "fd00::1"},
		{"run --rm --network n1 --network n1 toolbox true", 125, "n1"},
		{"run --rm --network n1 --network host toolbox true", 125, "host"},
		{"run --rm --network n1 --mac-address 03:00:00:00:00:01 toolbox true", 125, "03:00:00:00:00:01"},
	} {
		out, errOut, code := l.Berth(t, strings.Fields(c.args)...)
		if c.want == "" && code == 0 && strings.HasPrefix(c.args, "network create") { // allowed
			l.Must(t, "network", "rm", "n2")
			continue
		}
		if code != c.code || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 || out != "" && out != "[]\n" {
			t.Errorf("berth %s: exit code %d, %q, output %q; want %d and one line with %q", c.args, code, errOut, out, c.code, c.want)
		}
	}
	if n, c := l.Must(t, "network", "ls", "-q"), l.Must(t, "ps", "-aq"); n != networks || c != containers {
		t.Errorf("left: networks %q, were %q; containers %q, were %q", n, networks, c, containers)
	}
	_, errOut, code := l.Berth(t, "run", "--rm", "--network", "host", "-p", "8095:80", "toolbox", "true")
	if code != 0 || !strings.Contains(errOut, "discarded") && !strings.Contains(errOut, "not published") && !strings.Contains(errOut, "ignored") {
		t.Errorf("-p with --network host: exit code %d, %q; want a warning", code, errOut)
	}
	l.Must(t, "rm", "-f", "web")
	l.clean()
}

// TestFullNetwork: when all addresses are used up the error says so, and an
// address is free again after rm.
func TestFullNetwork(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "--subnet", "10.80.0.0/29", "n1")
	n := 0
	var errOut string
	for ; n < 10; n++ {
		var code int
		if _, errOut, code = l.Berth(t, "run", "-d", "--name", fmt.Sprintf("c%d", n+10), "--network", "n1", "toolbox", "sleep", "1000"); code != 0 {
			break
		}
	}
	// Of 8 addresses are not given: network, gateway, name server, broadcast.
	if n != 4 || !strings.Contains(errOut, "no free address") || strings.Count(errOut, "\n") != 1 {
		t.Errorf("%d containers, then: %s", n, errOut)
	}
	l.Must(t, "rm", "-f", "c11")
	l.Must(t, "run", "--rm", "--network", "n1", "toolbox", "true")
}
