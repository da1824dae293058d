package network

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// capturing is a capture that runs.
type capturing struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    bytes.Buffer // complete after end
	errOut bytes.Buffer
	read   chan struct{}
}

// capture starts a capture and waits until packets are captured: the file's head is there.
func (l *lab) capture(options string) *capturing {
	l.t.Helper()
	c := &capturing{t: l.t, cmd: l.Command(args("network capture", options)...), read: make(chan struct{})}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	c.cmd.Stderr = &c.errOut
	if err := c.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	const head = 24
	_, headErr := io.CopyN(&c.out, out, head)
	go func() { // joined by end
		defer close(c.read)
		_, _ = io.Copy(&c.out, out)
	}()
	if headErr != nil {
		c.end()
		l.t.Fatalf("berth network capture %s: %v: %s", options, headErr, c.errOut.String())
	}
	return c
}

// end waits for a capture and shows its packets as tcpdump does, and what was told at the end.
func (c *capturing) end() (packets, told string) {
	c.t.Helper()
	<-c.read
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("%s: %v: %s", c.cmd, err, c.errOut.String())
	}
	return tcpdump(c.t, c.out.Bytes()), c.errOut.String()
}

func tcpdump(t *testing.T, file []byte) string {
	t.Helper()
	cmd := exec.Command("tcpdump", "-nn", "-A", "-r", "-")
	cmd.Stdin = bytes.NewReader(file)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil || strings.Contains(errOut.String(), "truncated") {
		t.Errorf("tcpdump: %v: %s", err, errOut.String())
	}
	return string(out)
}

func wantWords(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s: no %q in\n%s", what, w, text)
		}
	}
}

// TestCapture: a request and its answer are in the file, with the addresses that
// they have at the container's interface, and the file ends with each of its bounds.
func TestCapture(t *testing.T) {
	l := start(t)
	o := cable(t)
	l.Must(t, "network", "create", "--ipv6", "n1")
	l.Must(t, "network", "create", "n2")
	l.serve("web", "--network n1 -p 8080:80")
	l.serve("c2", "--network n1")
	self, self6 := l.addr("web", "n1"), l.addr6("web", "n1")

	c := l.capture("web")
	want(t, "port from outside", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	gw6 := text(l.endpoint("web", "n1").IPv6Gateway)
	want(t, "IPv6 from the host", gw6)(ask("tcp", at(self6, "80")))
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	packets, told := c.end()
	wantWords(t, "after ctrl-C", packets, "IP "+otherAddr+".", " > "+self+".80: Flags [S]", "IP "+self+".80 > "+otherAddr+".", otherAddr+"\n", "IP6 "+gw6+".", " > "+self6+".80: Flags [S]")
	wantWords(t, "what is told", told, " packets captured, 0 dropped for want of room\n")

	c = l.capture("--protocol udp --host " + l.addr("c2", "n1") + " --port 80 -c 2 web")
	want(t, "not wanted: tcp", otherAddr)(o.ask("tcp", at(hostAddr, "8080")))
	want(t, "not wanted: another host", l.endpoint("web", "n1").Gateway.String())(ask("udp", at(self, "80")))
	want(t, "wanted", l.addr("c2", "n1"))(l.in("c2", "ask", "udp", at(self, "80")))
	packets, told = c.end()
	wantWords(t, "filter and count", packets, l.addr("c2", "n1"), self+".80: UDP")
	wantWords(t, "count", told, "2 packets captured")
	if strings.Contains(packets, "Flags") || strings.Count(packets, "UDP") != 2 {
		t.Errorf("the filter lets through:\n%s", packets)
	}

	l.Must(t, "network", "connect", "n2", "web")
	c = l.capture("--network n2 web")
	want(t, "by the other network", text(l.endpoint("web", "n2").Gateway))(ask("tcp", at(l.addr("web", "n2"), "80")))
	want(t, "by the first", text(l.endpoint("web", "n1").Gateway))(ask("tcp", at(self, "80")))
	l.Must(t, "rm", "-f", "web")
	packets, _ = c.end()
	wantWords(t, "end of the container", packets, l.prefix("n2"), "Flags [S.]")
	if strings.Contains(packets, self+".80") {
		t.Errorf("packets of the other interface:\n%s", packets)
	}
	file := filepath.Join(t.TempDir(), "file")
	if out, errOut, code := l.Berth(t, args("network capture --duration 20ms -w", file, "c2")...); code != 0 || out != "" {
		t.Errorf("duration: exit code %d: %s%s", code, out, errOut)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tcpdump(t, data)
	l.noPacketSockets()
}

// prefix is the beginning of the addresses of a network.
func (l *lab) prefix(in string) string {
	subnet := l.network(in).IPAM.Config[0].Subnet.Addr().String()
	return subnet[:strings.LastIndexByte(subnet, '.')+1]
}

// noPacketSockets checks that captures leave none.
func (l *lab) noPacketSockets() {
	l.t.Helper()
	again(l.t, "packet sockets", "0", func() (string, error) {
		data, err := os.ReadFile("/proc/thread-self/net/packet")
		return string(rune('0' + strings.Count(string(data), "\n") - 1)), err
	})
}

// TestCaptureErrors: what cannot be captured is one line; clients that are killed leave nothing.
func TestCaptureErrors(t *testing.T) {
	l := start(t)
	l.Must(t, "network", "create", "n1")
	l.serve("web", "")
	l.Must(t, "create", "--name", "down", "toolbox", "true")
	for _, v := range []struct{ args, want string }{
		{"down", "does not run"},
		{"nobody", "nobody"},
		{"--network n1 web", "is not in network n1"},
		{"--network n3 web", "network n3 not found"},
		{"--snaplen 1000000 web", "snaplen"},
		{"--protocol ipx web", `protocol "ipx" is unknown`},
		{"--protocol icmp --port 80 web", "icmp has no ports"},
		{"--host x web", "host"},
	} {
		out, errOut, code := l.Berth(t, args("network capture", v.args)...)
		if code == 0 || out != "" || !strings.Contains(errOut, v.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("capture %s: exit code %d: %s%s; want %s", v.args, code, out, errOut, v.want)
		}
	}
	c := l.capture("web")
	if err := c.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-c.read
	_ = c.cmd.Wait() // killed
	l.noPacketSockets()
}
