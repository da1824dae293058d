package network

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"berth/test/berthtest"
)

// plugins are a test's CNI configurations and plugins, beside Debian's.
type plugins struct {
	t               *testing.T
	conf, bin, data string
}

// withPlugins makes the berth that the test starts next use them.
func withPlugins(t *testing.T) *plugins {
	t.Helper()
	if _, err := os.Stat("/usr/lib/cni/bridge"); err != nil {
		t.Fatal("there is no CNI plugin: make test-deps installs them")
	}
	p := &plugins{t, t.TempDir(), t.TempDir(), t.TempDir()}
	t.Setenv("BERTH_CNI_CONF_DIR", p.conf)
	t.Setenv("BERTH_CNI_BIN_DIR", p.bin+":/usr/lib/cni")
	return p
}

// script makes a plugin that does something for ADD and nothing else for the rest.
func (p *plugins) script(name, add string) {
	p.t.Helper()
	text := "#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = ADD ] || exit 0\n" + add + "\n"
	if err := os.WriteFile(filepath.Join(p.bin, name), []byte(text), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

// list writes a configuration list.
func (p *plugins) list(name string, plugins ...map[string]any) {
	p.t.Helper()
	data, err := json.Marshal(map[string]any{"cniVersion": "1.0.0", "name": name, "plugins": plugins})
	if err == nil {
		err = os.WriteFile(filepath.Join(p.conf, name+".conflist"), data, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// bridge is the configuration of Debian's bridge plugin; its bridge ends with the test.
func (p *plugins) bridge() map[string]any {
	const name = "cnitest0"
	p.t.Cleanup(func() {
		if len(devices(p.t, name)) > 0 {
			shell(p.t, "ip link del "+name)
		}
	})
	return map[string]any{
		"type": "bridge", "bridge": name, "isGateway": true,
		"capabilities": map[string]bool{"ips": true},
		"dns":          map[string]any{"nameservers": []string{"192.0.2.53"}, "search": []string{"plugins.example"}},
		"ipam": map[string]any{
			"type": "host-local", "dataDir": p.data, "ranges": [][]map[string]string{{{"subnet": "10.77.0.0/24"}}},
			"routes": []map[string]string{{"dst": "0.0.0.0/0"}},
		},
	}
}

// leases are the addresses that Debian's host-local plugin has given away.
func (p *plugins) leases(network string) (all []string) {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(p.data, network, "10.77.*"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range found {
		all = append(all, filepath.Base(f))
	}
	return all
}

// none waits until nothing is leased or recorded.
func (p *plugins) none(l *lab, network string) {
	p.t.Helper()
	err := berthtest.Poll(func() error {
		records, err := filepath.Glob(filepath.Join(l.Root, "cni", "*.json"))
		if leases := p.leases(network); err != nil || len(records)+len(leases) > 0 {
			return fmt.Errorf("left: leases %v, records %v, %w", leases, records, err)
		}
		return nil
	})
	if err != nil {
		p.t.Error(err)
	}
}

// TestPluginNetwork: a network that CNI plugins make has what they say, serves as
// any other, and is deleted at the end, whoever died in between.
func TestPluginNetwork(t *testing.T) {
	p := withPlugins(t)
	p.list("lan", p.bridge())
	l := start(t)
	l.serve("web", "--network cni:lan --hostname house")
	addr := l.addr("web", "cni:lan")
	want(t, "from the host", "10.77.0.1")(ask("tcp", at(addr, "80"))) // a port below 1024
	if got := p.leases("lan"); len(got) != 1 || got[0] != addr {
		t.Errorf("leases %v, the container's address is %s", got, addr)
	}
	if ep := l.endpoint("web", "cni:lan"); ep.IPPrefixLen != 24 || text(ep.Gateway) != "10.77.0.1" || len(ep.MacAddress) != 6 {
		t.Errorf("inspect: %+v", ep)
	}
	for file, line := range map[string]string{"hosts": addr + "\thouse\n", "resolv.conf": "nameserver 192.0.2.53\nsearch plugins.example\n"} {
		if got := l.Must(t, "exec", "web", "cat", "/etc/"+file) + "\n"; !strings.Contains(got, line) {
			t.Errorf("%s lacks %q: %q", file, line, got)
		}
	}
	// Root has all rights over it; its interfaces are in sysfs, which is that of the namespace.
	if got := l.Must(t, "exec", "web", "sh", "-c", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ls /sys/class/net"); got != "0\neth0\nlo" {
		t.Errorf("in the container: %q", got)
	}
	l.serve("c2", "--network cni:lan --ip 10.77.0.99")
	want(t, "between both", "10.77.0.99")(l.in("c2", "ask", "tcp", at(addr, "80")))
	l.Must(t, args("run -d --name side --network container:web", player("serve"), "toolbox /x 81")...)
	l.serving("side")
	want(t, "loopback of both", "127.0.0.1")(l.in("web", "ask", "tcp", "127.0.0.1:81"))
	l.Must(t, "rm", "-f", "side", "c2")
	l.Must(t, "run", "--rm", "--network", "cni:lan", "--userns", "host", "toolbox", "true")
	if got := p.leases("lan"); len(got) != 1 {
		t.Errorf("leases %v; want that of web", got)
	}

	// The list may be gone: what it was is on record.
	if err := os.Remove(filepath.Join(p.conf, "lan.conflist")); err != nil {
		t.Fatal(err)
	}
	if err := l.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	want(t, "without a daemon", "10.77.0.1")(ask("tcp", at(addr, "80")))
	if got := l.addr("web", "cni:lan"); got != addr {
		t.Errorf("the next daemon tells address %q, want %s", got, addr)
	}
	l.Must(t, "stop", "-t", "0", "web")
	p.none(l, "lan")
	if got := devices(t, "veth"); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
	if _, errOut, code := l.Berth(t, "start", "web"); code == 0 || !strings.Contains(errOut, "CNI network lan not found") {
		t.Errorf("start without a list: exit code %d, %q", code, errOut)
	}
	p.list("lan", p.bridge())
	l.Must(t, "start", "web")
	l.serving("web")

	// It ends while there is no daemon.
	pid := l.inspect("web").State.Pid
	keeper := parent(t, pid)
	if err := l.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(keeper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(l.Run); err != nil { // as a reboot does
		t.Fatal(err)
	}
	l.Must(t, "ps")
	p.none(l, "lan")
}

// TestPluginKilledBetween: a daemon that dies while plugins run, or a start that
// fails after them, leaves no lease.
func TestPluginKilledBetween(t *testing.T) {
	p := withPlugins(t)
	began := filepath.Join(t.TempDir(), "began")
	p.script("slow", "echo $PPID >"+began+".new; mv "+began+".new "+began+"; exec sleep 1000")
	p.list("lan", p.bridge(), map[string]any{"type": "slow"})
	p.list("fast", p.bridge())
	l := start(t)
	l.Must(t, "pull", "-q", "toolbox")
	run := l.Command("run", "-d", "--name", "web", "--network", "cni:lan", "toolbox", "sleep", "1000")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	err := berthtest.Poll(func() error { _, err := os.Stat(began); return err })
	if err != nil {
		t.Fatal(err)
	}
	if got := p.leases("lan"); len(got) != 1 {
		t.Errorf("leases while the second plugin runs: %v", got)
	}
	if err := l.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait() // its daemon is dead
	l.Must(t, "ps")
	p.none(l, "lan")
	if _, errOut, code := l.Berth(t, "run", "--rm", "--network", "cni:fast", "toolbox", "/nothing"); code != 127 {
		t.Errorf("no such command: exit code %d, %s", code, errOut)
	}
	p.none(l, "fast")
}

// TestPluginErrors: what plugins and their configurations do wrong is told in one
// line, and nothing stays.
func TestPluginErrors(t *testing.T) {
	p := withPlugins(t)
	t.Setenv("BERTH_CNI_TIMEOUT", "2s")
	for name, add := range map[string]string{
		"hang":    "exec sleep 1000",
		"fail":    `printf %s '{"cniVersion":"1.0.0","code":100,"msg":"no such luck","details":"two\nlines"}'; exit 1`,
		"crash":   "echo sorry >&2; kill -9 $$",
		"garbage": "echo '%%%'",
		"nulls":   `echo '{"cniVersion":"1.0.0","interfaces":[null],"ips":[null]}'`,
		"badip":   `echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/24"}],"dns":{"nameservers":["x y"]}}'`,
		"flood":   "exec head -c 100000000 /dev/zero",
	} {
		p.script(name, add)
		p.list(name, map[string]any{"type": name})
		p.list("after-"+name, p.bridge(), map[string]any{"type": name})
	}
	p.list("absent", map[string]any{"type": "not-installed"})
	p.list("lan", p.bridge())
	l := start(t)
	l.Must(t, "network", "create", "n1")
	for _, c := range []struct{ args, want string }{
		{"--network cni:hang", "did not end within 2s"},
		{"--network cni:after-hang", "did not end within 2s"},
		{"--network cni:fail", "no such luck"},
		{"--network cni:after-fail", "no such luck"},
		{"--network cni:crash", "sorry"},
		{"--network cni:garbage", "invalid character"},
		{"--network cni:after-garbage", "invalid character"},
		{"--network cni:badip", "invalid name server"},
		{"--network cni:flood", "more than 1048576 bytes"},
		{"--network cni:after-flood", "more than 1048576 bytes"},
		{"--network cni:absent", "not-installed"},
		{"--network cni:nobody", "CNI network nobody not found"},
		{"--network cni:", "invalid CNI network name"},
		{"--network cni:../lan", "invalid CNI network name"},
		{"--network cni:lan -p 8080:80", "capability portMappings"},
		{"--network cni:lan -p 80", "name one"},
		{"--network cni:lan --mac-address 02:00:00:00:00:01", "capability mac"},
		{"--network cni:lan --ip 192.0.2.9", "192.0.2.9"},
		{"--network cni:lan --network-alias a", "conflicting options: --network-alias"},
		{"--network cni:lan --network n1", "excludes network n1"},
		{"--network n1 --network cni:lan", "cni:lan"},
	} {
		_, errOut, code := l.Berth(t, args("run --rm", c.args, "toolbox true")...)
		if code != 125 || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 || len(errOut) > 1500 {
			t.Errorf("berth run %s: exit code %d, %q; want 125 and one line with %q", c.args, code, errOut, c.want)
		}
	}
	l.Must(t, "run", "--rm", "--network", "cni:nulls", "toolbox", "true")
	for _, name := range []string{"hang", "fail", "garbage", "flood"} {
		p.none(l, "after-"+name)
	}
	p.none(l, "lan")
	if got := l.Must(t, "ps", "-aq"); got != "" {
		t.Errorf("left: containers %s", got)
	}
	l.Must(t, "create", "--name", "c1", "--network", "cni:lan", "toolbox", "true")
	if _, errOut, code := l.Berth(t, "network", "connect", "n1", "c1"); code == 0 || !strings.Contains(errOut, "no network of its own") {
		t.Errorf("connect: exit code %d, %q", code, errOut)
	}
	if err := os.WriteFile(filepath.Join(p.conf, "broken.conflist"), []byte(`{"name": "broken", "plug`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := l.Berth(t, "run", "--network", "cni:broken", "toolbox", "true"); code != 125 || !strings.Contains(errOut, "broken.conflist cannot be read") {
		t.Errorf("broken list: exit code %d, %q", code, errOut)
	}
	l.Must(t, "start", "-a", "c1") // another list does not matter
}

// TestPluginPorts: -p is what the portmap plugin publishes, and no longer than its container runs.
func TestPluginPorts(t *testing.T) {
	p := withPlugins(t)
	p.list("lan", p.bridge(), map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}})
	l := start(t)
	o := cable(t)
	shell(t, "sysctl -qw net.ipv4.ip_forward=1") // of the test's network namespace
	l.serve("web", "--network cni:lan -p 8080:80")
	want(t, "the port from outside", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	if got := l.Must(t, "port", "web"); got != "80/tcp -> 0.0.0.0:8080" {
		t.Errorf("berth port: %q", got)
	}
	if got := l.Must(t, "ps", "--format", "{{.Ports}}"); got != "0.0.0.0:8080->80/tcp" {
		t.Errorf("berth ps: %q", got)
	}
	l.Must(t, "rm", "-f", "web")
	wantError(t, "the port at the end", "refused")(o.ask("tcp", at(hostAddr, "8080")))
	p.none(l, "lan")
}
