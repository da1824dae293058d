package network

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/test/berthtest"
)

// again asks until the answer is the wanted one.
func again(t *testing.T, what, want string, f func() (string, error)) {
	t.Helper()
	err := berthtest.Poll(func() error {
		if got, err := f(); err != nil || got != want {
			return fmt.Errorf("%s: %q, %w; want %q", what, got, err, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDaemonKilled: without the daemon connections and ports go on; the next one
// answers names and gives everything back at the end.
func TestDaemonKilled(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "--ipv6", "n1")
	l.serve("web", "--network n1 -p 8080:80")
	l.serve("c2", "--network n1")
	self := sorted(l.addr("web", "n1"), l.addr6("web", "n1"))
	var c net.Conn
	o.do(t, func() (err error) {
		c, err = net.Dial("tcp", at(hostAddr, "8080"))
		return err
	})
	defer c.Close()
	lines := bufio.NewReader(c)
	echo := func(word string) {
		t.Helper()
		if err := c.SetDeadline(time.Now().Add(berthtest.Limit)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintln(c, word); err != nil {
			t.Fatal(err)
		}
		if got, err := lines.ReadString('\n'); err != nil || got != word+"\n" {
			t.Errorf("open connection: %q, %v; want %q", got, err, word)
		}
	}
	if _, err := lines.ReadString('\n'); err != nil { // who the client is
		t.Fatal(err)
	}
	echo("before")
	for range 2 {
		if err := l.Kill(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		echo("without a daemon")
		want(t, "port without a daemon", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
		l.Must(t, "ps") // starts one
		echo("with the next one")
		want(t, "port with the next daemon", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
		l.found("c2", map[string]string{"web": self, "web.n1": self})
	}
	if _, errOut, code := l.Berth(t, "run", "--rm", "-p", "8080:80", "toolbox", "true"); code != 125 || !strings.Contains(errOut, "web") {
		t.Errorf("a port that is still held: exit code %d: %s", code, errOut)
	}
	if _, errOut, code := l.Berth(t, "run", "--rm", "--network", "n1", "--ip", l.addr("web", "n1"), "toolbox", "true"); code != 125 || !strings.Contains(errOut, "in use") {
		t.Errorf("an address that is still held: exit code %d: %s", code, errOut)
	}
	l.Must(t, "rm", "-f", "web")
	wantError(t, "port after rm", "refused")(o.ask("tcp", at(hostAddr, "8080")))
	l.found("c2", map[string]string{"web": "-"})
	l.serve("web", "--network n1 -p 8080:80")
	l.Must(t, "rm", "-f", "web", "c2")
	l.Must(t, "network", "rm", "n1")
}

// TestOthersBreak: what somebody deletes on the host is made again within seconds.
func TestOthersBreak(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "--ipv6", "n1")
	l.serve("web", "--network n1 -p 8080:80")
	l.serve("c2", "--network n1")
	bridge := l.bridge("n1")
	breaks := map[string]string{
		"the bridge":        "ip link del " + bridge,
		"the table":         "nft delete table inet " + l.table(),
		"the elements":      "nft flush map inet " + l.table() + " ports4; nft flush map inet " + l.table() + " ports6; nft flush set inet " + l.table() + " bridges",
		"bridge down":       "ip link set " + bridge + " down",
		"the gateway":       "ip addr flush dev " + bridge,
		"everything":        "ip link del " + bridge + "; nft flush ruleset",
		"the server's veth": "ip link del vd" + l.network("n1").ID[:10],
	}
	for what, how := range breaks {
		shell(t, how)
		again(t, what+": port from outside", otherAddr, func() (string, error) { return o.ask("tcp", at(hostAddr, "8080")) })
		again(t, what+": port from outside, IPv6", other6, func() (string, error) { return o.ask("tcp", at(hostAddr6, "8080")) })
		again(t, what+": port from the host", text(l.endpoint("web", "n1").Gateway), func() (string, error) { return ask("tcp", "127.0.0.1:8080") })
		again(t, what+": by name", l.addr("c2", "n1"), func() (string, error) { return l.in("c2", "ask", "tcp4", "web:80") })
	}
}

// table is the name of the nftables table.
func (l *lab) table() string {
	l.t.Helper()
	b := l.network("bridge").Options["com.docker.network.bridge.name"]
	return "berth" + strings.TrimPrefix(b, "berth0")
}

// TestReboot: after a reboot networks are made again when they are used.
func TestReboot(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "n1")
	l.serve("web", "--network n1 -p 8080:80")
	bridge, pid, table := l.bridge("n1"), l.inspect("web").State.Pid, l.table()
	keeper := parent(t, pid)
	err := errors.Join(l.Kill(syscall.SIGKILL), syscall.Kill(keeper, syscall.SIGKILL), syscall.Kill(pid, syscall.SIGKILL))
	if err != nil && !errors.Is(err, syscall.ESRCH) { // the init may have ended with its keeper
		t.Fatal(err)
	}
	err = berthtest.Poll(func() error { // its interface ends with it
		if left := devices(t, "vb"); len(left) > 0 {
			return fmt.Errorf("left: %s", left)
		}
		return l.keepers()
	})
	if err != nil {
		t.Fatal(err)
	}
	shell(t, "ip link del "+bridge+"; nft delete table inet "+table)
	if err := os.RemoveAll(l.Run); err != nil {
		t.Fatal(err)
	}
	if got := l.Must(t, "ps", "-q"); got != "" {
		t.Errorf("containers that run after a reboot: %s", got)
	}
	l.Must(t, "start", "web")
	again(t, "port after a reboot", otherAddr, func() (string, error) { return o.ask("tcp", at(hostAddr, "8080")) })
	l.serve("c2", "--network n1")
	l.found("c2", map[string]string{"web": l.addr("web", "n1")})
}

// TestKilledWhileStarting: a daemon that dies at any moment of a start leaves
// no address, port or interface behind.
func TestKilledWhileStarting(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "--subnet", "10.60.0.0/29", "n1") // 4 containers
	l.Must(t, "pull", "-q", "toolbox")
	for i := range 12 {
		run := l.Command("run", "-d", "--name", fmt.Sprintf("c%d", i+10), "--network", "n1", "-p", "8080:80", "toolbox", "sleep", "1000")
		l.Must(t, "ps")
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.NewTimer(time.Duration(i) * 12 * time.Millisecond)
		<-after.C
		if err := l.Kill(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = run.Wait() // it may have got its answer or not
		for _, id := range strings.Fields(l.Must(t, "ps", "-aq")) {
			l.Must(t, "rm", "-f", id)
		}
	}
	for i := range 4 {
		l.Must(t, "run", "-d", "--name", fmt.Sprintf("last%d", i), "--network", "n1", "-p", fmt.Sprintf("%d:80", 8080+i), "toolbox", "sleep", "1000")
	}
	for i := range 4 {
		l.Must(t, "rm", "-f", fmt.Sprintf("last%d", i))
	}
	l.clean()
	l.Must(t, "network", "rm", "n1")
}

// clean checks that host and table hold nothing of any container.
func (l *lab) clean() {
	l.t.Helper()
	err := berthtest.Poll(func() error {
		if left := devices(l.t, "vb"); len(left) > 0 {
			return fmt.Errorf("left: %s", left)
		}
		return nil
	})
	if err != nil {
		l.t.Error(err)
	}
	for _, m := range []string{"ports4", "ports6", "ports_at4", "ports_at6"} {
		if err := script("nft list map inet " + l.table() + " " + m + " | grep -q elements && exit 1 || exit 0"); err != nil {
			l.t.Errorf("a port is left: %v", err)
		}
	}
}

// parent is the parent of a process of the host.
func parent(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var state string
	var ppid int
	if _, err := fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &ppid); err != nil {
		t.Fatal(err)
	}
	return ppid
}

// keepers is an error if a keeper of this berth still has its run directory open,
// also one that was removed.
func (l *lab) keepers() error {
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return err
	}
	for _, f := range files {
		to, err := os.Readlink(f)
		if err != nil || !strings.HasPrefix(to, filepath.Join(l.Run, "containers")) {
			continue // it is another's, or has ended
		}
		comm, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(f)), "comm"))
		if err == nil && string(comm) == "berth-keeper\n" {
			return fmt.Errorf("left: keeper %s, of %s", f, to)
		}
	}
	return nil
}

// devices are the host's network devices whose names begin so. sysfs shows those
// of another namespace.
func devices(t *testing.T, prefix string) (names []string) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if strings.HasPrefix(i.Name, prefix) {
			names = append(names, i.Name)
		}
	}
	return names
}
