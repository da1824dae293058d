package rootless

import (
	"berth/test/berthtest"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestRootlessContainer(t *testing.T) {
	l := newLab(t)
	out := l.must("run", "--rm", "--network", "none", "toolbox", "sh", "-c", "id -u; cat /proc/self/uid_map; rm /bin/yes; ls /bin/yes 2>&1 | tail -1; echo x > /dev/null && echo device")
	fields := strings.Fields(out)
	if len(fields) < 8 || fields[0] != "0" || fields[2] != fmt.Sprint(l.uid) || fields[6] != "65536" || !strings.HasSuffix(out, "device") {
		t.Errorf("in a container: %s", out)
	}
	if strings.Contains(out, "\n/bin/yes\n") {
		t.Errorf("a removed file is still there: %s", out)
	}
	l.must("run", "-d", "--name", "cc", "-e", "A=b", "toolbox", "sleep", "1000")
	if out := l.must("exec", "-u", "7:8", "cc", "sh", "-c", "echo $A $(id -u) $(id -g)"); out != "b 7 8" {
		t.Errorf("exec: %s", out)
	}
	if out := l.must("top", "cc"); !strings.Contains(out, "sleep 1000") {
		t.Errorf("top: %s", out)
	}
	l.must("run", "--rm", "-v", "vol:/v", "-u", "1000", "toolbox", "sh", "-c", "id -u")
	docker := l.command("docker", "-H", "unix://"+l.dir+"/run/berth/berth.sock", "run", "--rm", "toolbox", "id", "-u")
	if out, err := docker.CombinedOutput(); err != nil || string(out) != "0\n" {
		t.Errorf("docker's client: %v, %s", err, out)
	}
	if out := l.must("run", "--rm", "--network", "container:cc", "toolbox", "ip", "addr"); !strings.Contains(out, "eth0") {
		t.Errorf("in another's network: %s", out)
	}
	terminal := l.command("script", "-qec", "berth run --rm -ti toolbox tty", "/dev/null")
	if out, err := terminal.CombinedOutput(); err != nil || !strings.Contains(string(out), "/dev/") {
		t.Errorf("a terminal: %v, %s", err, out)
	}
	l.must("stop", "-t", "0", "cc")
	l.must("start", "cc")
	for what, args := range map[string][]string{
		"limits are not available":           {"run", "--rm", "-m", "100m", "toolbox", "true"},
		"--pid host is not available":        {"run", "--rm", "--pid", "host", "toolbox", "true"},
		"the container has no cgroup":        {"pause", "cc"},
		"only those of tcp and udp":          {"run", "--rm", "-p", "5000:5/sctp", "toolbox", "true"},
		"ip_unprivileged_port_start=80":      {"run", "--rm", "-p", "80:80", "toolbox", "true"},
		"the host has no address 203.0.113.": {"run", "--rm", "-p", "203.0.113.1:8080:80", "toolbox", "true"},
	} {
		if out, err := l.berth(args...); err == nil || !strings.Contains(out, what) || strings.Contains(out, "\n") {
			t.Errorf("berth %q: %v, %s; want %s", args, err, out, what)
		}
	}
}

// Nothing of the host's cgroups can be changed from a container.
func TestSecurity18RootlessCgroups(t *testing.T) {
	l := newLab(t)
	out := l.must("run", "--rm", "--network", "none", "toolbox", "sh", "-c",
		`for f in $(find /sys/fs/cgroup /sys -name "cgroup.*" -o -name release_agent -o -name tasks 2>/dev/null); do (echo 1 > $f) 2>/dev/null && echo $f; done; echo end`)
	if out != "end" {
		t.Errorf("a container may write %s", out)
	}
}

func TestRootlessNetwork(t *testing.T) {
	l := newLab(t)
	l.cable()
	for _, tt := range []struct{ network, proto, addr, want string }{
		{"bridge", "tcp", farAddr + ":80", hostAddr},
		{"bridge", "udp", otherAddr + ":80", hostAddr + " 5000"},
		{"bridge", "tcp", "far.test:80", hostAddr},
		{"host", "tcp", farAddr + ":80", hostAddr},
		{"host", "tcp", "far.test:80", hostAddr},
	} {
		if out, err := l.askFrom(tt.network, tt.proto, tt.addr); err != nil || out != tt.want {
			t.Errorf("network %s, %s %s: %v, %s; want %s", tt.network, tt.proto, tt.addr, err, out, tt.want)
		}
	}
	for addr, want := range map[string]string{
		farAddr + ":81":   "connection refused",
		hostAddr + ":81":  "connection refused",
		"nowhere.test:80": "no such host",
	} {
		if out, err := l.askFrom("bridge", "tcp", addr); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, %s; want %s", addr, err, out, want)
		}
	}
	l.must("network", "create", "n")
	l.serve("db", "--network", "n")
	l.poll(func() error {
		out, err := l.askFrom("n", "tcp", "db:80")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if out, err := l.askFrom("bridge", "tcp", "db:80"); err == nil {
		t.Errorf("a container of another network is found: %s", out)
	}
}

// The host's own loopback address stays out of a container's reach.
func TestRootlessLoopbackIsClosed(t *testing.T) {
	l := newLab(t)
	l.cable()
	s, err := net.Listen("tcp4", "127.0.0.1:8333")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go berthtest.Answer(s)
	gateway := strings.Fields(l.must("run", "--rm", "--network", "host", "toolbox", "cat", "/etc/resolv.conf"))[1]
	for _, addr := range []string{"127.0.0.1:8333", gateway + ":8333", "0.0.0.0:8333"} {
		if out, err := l.askFrom("host", "tcp", addr); err == nil {
			t.Errorf("%s answers %s", addr, out)
		}
	}
}

func TestRootlessPorts(t *testing.T) {
	l := newLab(t)
	l.cable()
	l.serve("web", "-p", "8080:80", "-p", hostAddr+":8081:80", "-p", "127.0.0.1:8082:80", "-p", "8080:80/udp")
	check := func() {
		t.Helper()
		l.poll(func() error { _, err := l.askFromOther("tcp", hostAddr+":8080"); return err })
		for _, tt := range []struct{ proto, port, want string }{
			{"tcp", "8080", otherAddr}, {"tcp", "8081", otherAddr}, {"udp", "8080", otherAddr + " 5000"},
		} {
			if out, err := l.askFromOther(tt.proto, hostAddr+":"+tt.port); err != nil || out != tt.want {
				t.Errorf("%s port %s from elsewhere: %v, %s; want %s", tt.proto, tt.port, err, out, tt.want)
			}
		}
		if out, err := l.askFromOther("tcp", hostAddr+":8082"); err == nil {
			t.Errorf("a port of 127.0.0.1 is open to others: %s", out)
		}
		for _, addr := range []string{"127.0.0.1:8080", "127.0.0.1:8082", hostAddr + ":8080", hostAddr + ":8081"} {
			if _, err := ask("tcp", addr); err != nil {
				t.Errorf("%s from the host: %v", addr, err)
			}
		}
		if out, err := l.askFrom("bridge", "tcp", hostAddr+":8080"); err != nil {
			t.Errorf("from a container: %v, %s", err, out)
		}
	}
	check()
	out, err := l.berth("run", "--rm", "-p", "8080:80", "toolbox", "true")
	if err == nil || !strings.Contains(out, "published by container web") {
		t.Errorf("a published port: %v, %s", err, out)
	}
	used, err := net.Listen("tcp4", ":8090")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	out, err = l.berth("run", "--rm", "-p", "8090:80", "toolbox", "true")
	if err == nil || !strings.Contains(out, "port 0.0.0.0:8090/tcp of the host is in use") {
		t.Errorf("a port in use: %v, %s", err, out)
	}
	// Whichever of its two processes is killed, the other ends; containers go on.
	for victim := range 2 {
		d := l.daemons()
		if len(d) != 2 {
			t.Fatalf("berthd has the processes %v, want 2", d)
		}
		init := l.must("inspect", "-f", "{{.State.Pid}}", "web")
		l.kill(syscall.SIGKILL, d[victim])
		l.poll(func() error { // its sockets may be closed a moment after its end
			if _, err := ask("tcp", hostAddr+":8080"); !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("a published port without berthd: %w", err)
			}
			return nil
		})
		if now := l.must("inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "web"); now != init+" running" {
			t.Errorf("after the end of berthd: %s, want %s running", now, init)
		}
		check()
	}
	l.must("rm", "-f", "web")
	if _, err := ask("tcp", hostAddr+":8080"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port of a removed container: %v", err)
	}
}

func TestRootlessErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		setup, env, want string
	}{
		"no range":       {"echo other:1:1 > etc/none; mount --bind etc/none /etc/subuid;", "", "usermod --add-subuids"},
		"no newuidmap":   {"mkdir -p etc/empty; cp /bin/sh etc/empty;", "PATH=" + "{dir}/bin:{dir}/etc/empty", "install the package uidmap"},
		"no runtime dir": {"", "XDG_RUNTIME_DIR=", "XDG_RUNTIME_DIR is not set"},
		"no tun":         {"chmod 600 /dev/net/tun;", "", "closed to users"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			good := l.env
			l.setup = tt.setup
			if tt.env != "" {
				l.env = append(append([]string{}, l.env...), strings.ReplaceAll(tt.env, "{dir}", l.dir))
			}
			cmd := l.command(l.dir+"/bin/berth", "run", "--rm", "toolbox", "true")
			if name == "no newuidmap" { // what is before the user's command needs the usual programs
				path := l.env[len(l.env)-1]
				cmd = l.command("/usr/bin/env", path, l.dir+"/bin/berth", "run", "--rm", "toolbox", "true")
				cmd.Env = good
			}
			out, err := cmd.CombinedOutput()
			text := strings.TrimSpace(string(out))
			if err == nil || !strings.Contains(text, tt.want) || strings.Contains(text, "\n") {
				t.Errorf("got %v, %s; want one line with %s", err, text, tt.want)
			}
			l.setup, l.env = "", good
			if _, err := os.Stat(l.dir + "/run/berth/berth.sock"); err == nil {
				t.Error("there is a socket")
			}
		})
	}
}
