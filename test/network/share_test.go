package network

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"berth/test/berthtest"
)

// TestOtherContainersNetwork: a container in another's network has its addresses, its
// loopback interface, its names and its rights; also when berthd is killed, and
// when the other one is gone.
func TestOtherContainersNetwork(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "n1")
	l.Must(t, args("run -d --name web --network n1 --hostname house -p 8080:81 toolbox sleep 1000")...)
	l.Must(t, args("run -d --name c2 --network container:web", player("serve"), "toolbox /x 81")...) // a port below 1024
	l.serving("c2")
	want(t, "the port of the one leads to the other's server", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	web, c2 := l.inspect("web"), l.inspect("c2")
	if got := string(c2.HostConfig.NetworkMode); got != "container:"+web.ID || len(c2.NetworkSettings.Networks) != 0 || c2.HostsPath != web.HostsPath {
		t.Errorf("inspect: mode %s, networks %v, hosts at %s; want container:%s, none, %s", got, c2.NetworkSettings.Networks, c2.HostsPath, web.ID, web.HostsPath)
	}
	for what, script := range map[string]string{
		"host name": "hostname", "hosts": "cat /etc/hosts", "resolv.conf": "cat /etc/resolv.conf", "namespaces": "readlink /proc/self/ns/net /proc/self/ns/user",
		"ids": "cat /proc/self/uid_map",
	} {
		if a, b := l.Must(t, "exec", "web", "sh", "-c", script), l.Must(t, "exec", "c2", "sh", "-c", script); a != b || a == "" {
			t.Errorf("%s: %q in the one, %q in the other", what, a, b)
		}
	}
	// A third follows the second; the loopback interface is one.
	l.Must(t, args("run -d --name c3 --network container:c2", player("serve"), "toolbox /x 82")...)
	l.serving("c3")
	want(t, "loopback", "127.0.0.1")(l.in("c3", "ask", "tcp", "127.0.0.1:81"))
	want(t, "loopback", "127.0.0.1")(l.in("c2", "ask", "tcp", "127.0.0.1:82"))
	l.found("c3", map[string]string{"house": l.addr("web", "n1"), "web": l.addr("web", "n1")})
	if got := l.Must(t, "exec", "c3", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"); got != "0" {
		t.Errorf("first port without privilege: %s", got)
	}
	if got := l.Must(t, "stats", "--no-stream", "--format", "{{.NetIO}}", "c3"); got == "" || strings.Contains(got, "0B / 0B") {
		t.Errorf("stats: %q", got)
	}

	if err := l.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	want(t, "after kill -9 of berthd", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	ids := l.Must(t, "exec", "c3", "cat", "/proc/self/uid_map")
	l.Must(t, "rm", "-f", "web")
	// The network stays with who is in it, though nothing leads there; its ids are nobody else's.
	want(t, "loopback without the first", "127.0.0.1")(l.in("c3", "ask", "tcp", "127.0.0.1:81"))
	if got := l.Must(t, "run", "--rm", "toolbox", "cat", "/proc/self/uid_map"); got == ids {
		t.Errorf("a new container has the ids %s, which c2 and c3 still have", got)
	}
	l.Must(t, "run", "--rm", "--network", "container:c3", "toolbox", "true")
	for _, name := range []string{"c2", "c3"} {
		_, errOut, code := l.Berth(t, "restart", "-t", "0", name)
		if code == 0 || strings.Count(errOut, "\n") != 1 {
			t.Errorf("restart of %s, whose network is gone: exit code %d, %q", name, code, errOut)
		}
	}
	l.Must(t, "rm", "-f", "c2", "c3")
	if got := l.Must(t, "run", "--rm", "toolbox", "cat", "/proc/self/uid_map"); got != ids {
		t.Errorf("the ids %s were not given back: a new container has %s", ids, got)
	}
	l.clean()
}

// TestShareErrors: what cannot be shared gets one line, and leaves nothing.
func TestShareErrors(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "n1")
	for _, c := range []string{"--name web", "--name hostids --userns host", "--name shm --ipc shareable", "--name hostnet --network host", "--name none --ipc none"} {
		l.Must(t, args("run -d", c, "toolbox sleep 1000")...)
	}
	l.Must(t, args("create --name still toolbox sleep 1000")...)
	l.Must(t, args("create --name later --network container:still toolbox true")...)
	containers := l.Must(t, "ps", "-aq")
	for _, c := range []struct {
		args, want string
	}{
		{"--network container:nobody", "No such container: nobody"},
		{"--network container:", "container:"},
		{"--network container:still", "cannot join network of a non running container"},
		{"--pid container:still", "cannot join PID namespace of a non running container"},
		{"--ipc container:still", "cannot join IPC namespace of a non running container"},
		{"--ipc container:web", "non-shareable IPC"},
		{"--ipc container:none", "non-shareable IPC"},
		{"--network container:hostids", "add --userns host"},
		{"--network container:web --pid container:shm", "of one only"},
		{"--network container:web --hostname x", "conflicting options: hostname"},
		{"--network container:web --dns 192.0.2.1", "conflicting options: dns"},
		{"--network container:web --add-host a:192.0.2.1", "conflicting options: custom host-to-IP mapping"},
		{"--network container:web -p 80:80", "conflicting options: port publishing"},
		{"--network container:web -P", "conflicting options: port publishing"},
		{"--network container:web --expose 80", "conflicting options: port exposing"},
		{"--network container:web --mac-address 02:00:00:00:00:01", "conflicting options: mac-address"},
		{"--network container:web --network-alias a", "conflicting options: network-alias"},
		{"--network container:web --ip 172.17.0.9", "conflicting options"},
		{"--network container:web --network n1", "container:web"},
		{"--network n1 --network container:web", "container:web"},
	} {
		_, errOut, code := l.Berth(t, args("run --rm", c.args, "toolbox true")...)
		if code != 125 || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("berth run %s: exit code %d, %q; want 125 and one line with %q", c.args, code, errOut, c.want)
		}
	}
	if got := l.Must(t, "ps", "-aq"); got != containers {
		t.Errorf("left: containers %q, were %q", got, containers)
	}
	if _, errOut, code := l.Berth(t, "network", "connect", "n1", "later"); code == 0 || !strings.Contains(errOut, "no network of its own") {
		t.Errorf("connect: exit code %d, %q", code, errOut)
	}
	l.Must(t, "rename", "still", "other") // it is known by its id
	l.Must(t, "start", "other")
	l.Must(t, "start", "-a", "later")
	l.Must(t, "rm", "-f", "other")
	if _, errOut, code := l.Berth(t, "start", "later"); code == 0 || !strings.Contains(errOut, "No such container") {
		t.Errorf("start, when the other was removed: exit code %d, %q", code, errOut)
	}
	// With the host's ids all can be shared; what the other has of the host is the host's.
	l.Must(t, "run", "--rm", "--userns", "host", "--network", "container:hostids", "--pid", "container:web", "toolbox", "true")
	mine, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Must(t, "run", "--rm", "--network", "container:hostnet", "toolbox", "readlink", "/proc/self/ns/net"); got != mine {
		t.Errorf("network of a container in the host's: %s, want %s", got, mine)
	}
}

// TestShareAll: processes, ipc objects and network of one container, for the stock
// docker CLI too.
func TestShareAll(t *testing.T) {
	cli, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal("there is no docker CLI: make test-deps installs it")
	}
	l := start(t)
	l.Must(t, "pull", "-q", "toolbox")
	docker := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(cli, args...)
		cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+filepath.Join(l.Run, "berth.sock"), "DOCKER_CONFIG="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	docker("run", "-d", "--name", "base", "--ipc", "shareable", "--shm-size", "1m", "toolbox", "sh", "-c", "echo from base >/dev/shm/f; exec sleep 1234")
	docker("run", "-d", "--name", "side", "--network", "container:base", "--pid", "container:base", "--ipc", "container:base", "toolbox", "sleep", "2345")
	err = berthtest.Poll(func() error { return l.Command("exec", "base", "cat", "/dev/shm/f").Run() })
	if err != nil {
		t.Fatal(err)
	}
	if got := docker("exec", "side", "sh", "-c", "cat /dev/shm/f; mount | grep ' /dev/shm '; ps"); !strings.Contains(got, "from base") ||
		!strings.Contains(got, "size=1024k") || strings.Count(got, " sleep\n") != 2 {
		t.Errorf("the side container sees: %s", got)
	}
	docker("exec", "side", "sh", "-c", "echo from side >/dev/shm/g")
	if got := docker("exec", "base", "cat", "/dev/shm/g"); got != "from side" {
		t.Errorf("base sees: %s", got)
	}
	if got := docker("top", "side"); strings.Contains(got, "sleep 1234") || !strings.Contains(got, "sleep 2345") {
		t.Errorf("docker top shows: %s", got)
	}
	// The one has rights over the other's processes.
	if got := docker("run", "--rm", "--pid", "container:base", "toolbox", "sh", "-c", "ls /proc/1/root/dev/null && echo can"); !strings.HasSuffix(got, "can") {
		t.Errorf("the root of base: %s", got)
	}
	l.Must(t, "kill", "base") // the pid namespace ends with its first process
	err = berthtest.Poll(func() error {
		if c := l.inspect("side"); c.State.Running {
			return errors.New("it still runs")
		}
		return nil
	})
	if c := l.inspect("side"); err != nil || c.State.ExitCode != 137 {
		t.Errorf("side after the end of base: %v, exit code %d; want 137", err, c.State.ExitCode)
	}
}
