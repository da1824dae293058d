package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/network"
)

// TestUpdatePorts: ports of a running and of a stopped container come and go, all of a
// request or none, and outlive a restart and a killed daemon.
func TestUpdatePorts(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.serve("web", "-p 8080:80 -p 8081:80/udp")
	l.serve("other", "-p 8090:80")
	reached := func(proto, port string) {
		t.Helper()
		want(t, proto+" port "+port, otherAddr)(o.ask(proto, at(hostAddr, port)))
	}
	gone := func(proto, port string) {
		t.Helper()
		wantError(t, proto+" port "+port, "refused")(o.ask(proto, at(hostAddr, port)))
	}
	var flow net.Conn
	o.do(t, func() (err error) {
		flow, err = net.Dial("udp", at(hostAddr, "8081"))
		return err
	})
	defer flow.Close()
	answer, err := askOn(flow)
	want(t, "UDP before", otherAddr)(answer, err)

	l.Must(t, "update", "-p", "8082:80", "-p", "80", "--publish-rm", "8081/udp", "web")
	reached("tcp", "8080")
	reached("tcp", "8082")
	gone("udp", "8081")
	if answer, err := askOn(flow); err == nil {
		t.Errorf("a flow of UDP goes on to a port that is published no more: %q", answer)
	}
	for _, shown := range []string{l.Must(t, "port", "web"), l.Must(t, "ps", "--format", "{{.Ports}}")} {
		if !strings.Contains(shown, "8082") || strings.Contains(shown, "8081") {
			t.Errorf("ports shown: %s", shown)
		}
	}
	bindings := func() network.PortMap { return l.inspect("web").HostConfig.PortBindings }
	if b := bindings(); len(b) != 1 || len(b[network.MustParsePort("80/tcp")]) != 3 {
		t.Errorf("bindings: %v", b)
	}
	// All or nothing: the second is taken.
	before := l.Must(t, "port", "web")
	for _, c := range []struct{ args, want string }{
		{"-p 8083:80 -p 8090:80 web", "published by container other"},
		{"--publish-rm 8080 -p 8090:80 web", "published by container other"},
		{"-p 8083:80 --publish-rm 9999 web", "9999/tcp of the host is not published"},
		{"-p 8080:80 web", "asked for twice"},
		{"-p 8083:80 -p 8083:81 web", "asked for twice"},
		{"--publish-rm 8080/udp web", "8080/udp"},
		{"--publish-rm x web", `"x" is no port`},
		{"-p x web", `"x" is no port`},
		{"web", "nothing to change"},
		{"-p 8083:80 nobody", "nobody"},
	} {
		_, errOut, code := l.Berth(t, args("update", c.args)...)
		if code == 0 || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("berth update %s: exit code %d: %s; want one line with %q", c.args, code, errOut, c.want)
		}
	}
	if now := l.Must(t, "port", "web"); now != before {
		t.Errorf("ports after errors:\n%s\nwere\n%s", now, before)
	}
	reached("tcp", "8080")
	gone("tcp", "8083")
	// The same port of the host to another one of the container, and back.
	l.Must(t, "update", "--publish-rm", "8080", "-p", "8080:81", "web")
	gone("tcp", "8080")
	l.Must(t, "update", "--publish-rm", "8080", "-p", "8080:80", "web")
	reached("tcp", "8080")

	random := strings.TrimPrefix(strings.Fields(l.Must(t, "port", "web", "80"))[2], "0.0.0.0:")
	if err := l.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.Must(t, "ps")
	reached("tcp", "8082")
	reached("tcp", random)
	gone("udp", "8081")
	l.Must(t, "restart", "-t", "0", "web")
	again(t, "port after a restart", otherAddr, func() (string, error) { return o.ask("tcp", at(hostAddr, "8080")) })
	reached("tcp", "8082")
	l.Must(t, "stop", "-t", "0", "web")
	l.Must(t, "update", "--publish-rm", ":80", "-p", "8084-8085:80", "web")
	gone("tcp", "8084")
	l.Must(t, "start", "web")
	again(t, "port after a start", otherAddr, func() (string, error) { return o.ask("tcp", at(hostAddr, "8084")) })
	gone("tcp", "8080")
	l.Must(t, "update", "--publish-rm", "8084", "web")
	gone("tcp", "8084")
	if b := bindings(); len(b) != 0 {
		t.Errorf("bindings: %v", b)
	}
	free, err := net.Listen("tcp", ":8084")
	if err != nil {
		t.Fatal("the port is not free:", err)
	}
	free.Close()
	l.Must(t, "rm", "-f", "web", "other")
	l.clean()
}

// TestUpdateOddContainers: who has no ports, and what docker's clients see.
func TestUpdateOddContainers(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "--internal", "inner")
	l.Must(t, "run", "-d", "--name", "in", "--network", "inner", "toolbox", "sleep", "1000")
	l.Must(t, "create", "--name", "still", "--network", "inner", "toolbox", "sleep", "1000")
	l.Must(t, "run", "-d", "--name", "host", "--network", "host", "toolbox", "sleep", "1000")
	for name, want := range map[string]string{"in": "internal", "still": "internal", "host": "no network of its own"} {
		if _, errOut, code := l.Berth(t, "update", "-p", "8080:80", name); code != 1 || !strings.Contains(errOut, want) {
			t.Errorf("update %s: exit code %d: %s", name, code, errOut)
		}
	}
	// -P: the others stay as they are.
	l.serve("all", "-P --expose 80 --expose 81")
	ports := l.inspect("all").NetworkSettings.Ports
	first, second := ports[network.MustParsePort("80/tcp")][0].HostPort, ports[network.MustParsePort("81/tcp")][0].HostPort
	l.Must(t, "update", "--publish-rm", second, "all")
	if got := l.Must(t, "port", "all"); got != "80/tcp -> 0.0.0.0:"+first {
		t.Errorf("ports after one of -P went: %s", got)
	}
	want(t, "what is left of -P", otherAddr)(o.ask("tcp", at(hostAddr, first)))
	l.Must(t, "restart", "-t", "0", "all")
	if got := l.Must(t, "port", "all"); strings.Contains(got, "81/tcp") {
		t.Errorf("ports after a restart: %s", got)
	}
	docker := exec.Command("docker", "update", "--memory", "100m", "all")
	docker.Env = append(os.Environ(), "DOCKER_HOST=unix://"+filepath.Join(l.Run, "berth.sock"), "DOCKER_CONFIG="+t.TempDir())
	if out, err := docker.CombinedOutput(); err == nil || !strings.Contains(string(out), "cannot be changed") {
		t.Errorf("docker update: %v: %s", err, out)
	}
	events := l.Events(t, "container", "update")
	if len(events) != 1 {
		t.Errorf("%d events of update", len(events))
	}
	l.Must(t, "rm", "-f", "in", "still", "host", "all")
}

// Events asks the daemon for what happened.
func (l *lab) Events(t *testing.T, kind, action string) (all []map[string]any) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{Dial: func(string, string) (net.Conn, error) {
		return net.Dial("unix", filepath.Join(l.Run, "berth.sock"))
	}}}
	defer c.CloseIdleConnections()
	r, err := c.Get(fmt.Sprintf(`http://berth/events?since=1&until=%d&filters={"type":["%s"],"event":["%s"]}`, time.Now().Unix()+1, kind, action))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	for d := json.NewDecoder(r.Body); ; {
		var e map[string]any
		if err := d.Decode(&e); err != nil {
			return all
		}
		all = append(all, e)
	}
}

// TestGhost: a container whose client has vanished leaves a connection that the kernel keeps, and with
// it its interface; who gets its address is reached all the same.
func TestGhost(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.serve("web", "-p 8080:80")
	var c net.Conn
	o.do(t, func() (err error) {
		c, err = net.Dial("tcp", at(hostAddr, "8080"))
		return err
	})
	defer c.Close()
	if _, err := c.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	o.do(t, func() error { return script("ip link set eth0 down") })
	addr := l.addr("web", "bridge")
	l.Must(t, "rm", "-f", "web")
	l.serve("next", "--ip "+addr+" -p 8080:80")
	want(t, "who has the address now", text(l.endpoint("next", "bridge").Gateway))(ask("tcp", "127.0.0.1:8080"))
	l.Must(t, "rm", "-f", "next")
	l.clean()
}

// TestUpdateKilled: a daemon that dies at any moment of an update leaves a container
// whose ports are those of its record, and these ports only.
func TestUpdateKilled(t *testing.T) {
	l := start(t)
	l.serve("web", "-p 8080:80")
	for i := range 12 {
		add, remove := "8081:80", "8080"
		if _, has := l.inspect("web").HostConfig.PortBindings[network.MustParsePort("80/tcp")]; !has {
			t.Fatal("no binding is left")
		}
		if l.inspect("web").HostConfig.PortBindings[network.MustParsePort("80/tcp")][0].HostPort == "8081" {
			add, remove = "8080:80", "8081"
		}
		cmd := l.Command("update", "-p", add, "--publish-rm", remove, "web")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.NewTimer(time.Duration(i) * 3 * time.Millisecond).C
		if err := l.Kill(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it may have got its answer or not
		c := l.inspect("web")
		bound := c.HostConfig.PortBindings[network.MustParsePort("80/tcp")]
		open := c.NetworkSettings.Ports[network.MustParsePort("80/tcp")]
		if len(bound) != 1 || len(open) != 1 || bound[0].HostPort != open[0].HostPort {
			t.Fatalf("after kill %d: bindings %v, ports %v", i, bound, open)
		}
		other := map[string]string{"8080": "8081", "8081": "8080"}[open[0].HostPort]
		want(t, "the port of the record", text(l.endpoint("web", "bridge").Gateway))(ask("tcp", "127.0.0.1:"+open[0].HostPort))
		wantError(t, "the other one", "refused")(ask("tcp", "127.0.0.1:"+other))
		free, err := net.Listen("tcp", ":"+other)
		if err != nil {
			t.Fatalf("after kill %d port %s is held: %v", i, other, err)
		}
		if err := errors.Join(free.Close()); err != nil {
			t.Fatal(err)
		}
	}
	l.Must(t, "rm", "-f", "web")
	l.clean()
}
