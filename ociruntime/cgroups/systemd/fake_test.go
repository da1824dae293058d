package systemd

import (
	"bufio"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake is a systemd on a real socket that answers as it is told.
type fake struct {
	t    *testing.T
	bus  bool
	path string
	// calls are the methods called, with their first string.
	calls []string
	// answers are error names by method, each used once.
	errors map[string][]string
	// result is how jobs end. early: the end is told before the reply.
	result string
	early  bool
	// version and group are the manager's properties.
	version, group string
	served         chan struct{}
}

func startFake(t *testing.T, f *fake) *fake {
	t.Helper()
	f.t, f.path, f.served = t, filepath.Join(t.TempDir(), "private"), make(chan struct{})
	if f.result == "" {
		f.result = "done"
	}
	l, err := net.Listen("unix", f.path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the one connection
		defer close(f.served)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		f.serve(conn)
	}()
	t.Cleanup(func() {
		_ = l.Close() // a test that never connected
		<-f.served
	})
	return f
}

func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, want := range []string{"\x00AUTH EXTERNAL", "DATA", "BEGIN"} {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimSpace(line) != strings.TrimSpace(want) {
			f.t.Errorf("authentication: %q, want %q", line, want)
		}
		switch want {
		case "DATA":
			_, err = conn.Write([]byte("OK 0123456789abcdef0123456789abcdef\r\n"))
		case "BEGIN":
		default:
			_, err = conn.Write([]byte("DATA\r\n"))
		}
		if err != nil {
			return
		}
	}
	for {
		m, err := readMessage(in)
		if err != nil {
			return
		}
		for _, out := range f.answer(m) {
			if _, err := conn.Write(out.encode()); err != nil {
				return
			}
		}
	}
}

func (f *fake) answer(m *message) []*message {
	if f.bus != (m.target != "") {
		f.t.Errorf("%s to %q", m.member, m.target)
	}
	first := ""
	if strings.HasPrefix(m.signature, "s") {
		words, err := m.strings(0, 1)
		if err != nil {
			f.t.Error(err)
			return nil
		}
		first = words[0]
	}
	f.calls = append(f.calls, strings.TrimSpace(m.member+" "+first))
	reply := &message{kind: methodReturn, serial: 7, reply: m.serial}
	if list := f.errors[m.member]; len(list) > 0 {
		f.errors[m.member] = list[1:]
		if list[0] != "" {
			reply.kind, reply.errorName, reply.signature = errorReply, "org.freedesktop.systemd1."+list[0], "s"
			var e encoder
			e.string("it is " + list[0])
			reply.body = e.b
			return []*message{reply}
		}
	}
	switch m.member {
	case "StartTransientUnit", "StopUnit":
		const job = "/org/freedesktop/systemd1/job/42"
		var e, s encoder
		e.string(job)
		reply.signature, reply.body = "o", e.b
		s.uint32(42)
		s.string(job)
		s.string(first)
		s.string(f.result)
		end := &message{kind: signal, serial: 8, path: managerPath, iface: managerFace, member: "JobRemoved", signature: "uoss", body: s.b}
		other := &message{kind: signal, serial: 9, path: managerPath, iface: managerFace, member: "UnitNew", signature: "s", body: e.b}
		if f.early {
			return []*message{other, end, reply}
		}
		return []*message{reply, other, end}
	case "Get":
		words, err := m.strings(0, 2)
		if err != nil {
			f.t.Error(err)
			return nil
		}
		var e encoder
		if err := e.variant(map[string]string{"Version": f.version, "ControlGroup": f.group}[words[1]]); err != nil {
			f.t.Error(err)
		}
		reply.signature, reply.body = "v", e.b
	}
	return []*message{reply}
}

func (f *fake) dial(t *testing.T) *Conn {
	t.Helper()
	c, err := dial(t.Context(), address{f.path, f.bus})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // a test may have closed it
	return c
}

// count waits for the end of the connection and returns what was called.
func (f *fake) end(t *testing.T, c *Conn) string {
	t.Helper()
	if err := c.Close(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	<-f.served
	return strings.Join(f.calls, "; ")
}
