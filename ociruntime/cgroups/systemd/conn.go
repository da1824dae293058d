package systemd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
)

// Names of systemd on D-Bus.
const (
	managerName  = "org.freedesktop.systemd1"
	managerPath  = "/org/freedesktop/systemd1"
	managerFace  = "org.freedesktop.systemd1.Manager"
	busName      = "org.freedesktop.DBus"
	busPath      = "/org/freedesktop/DBus"
	booted       = "/run/systemd/system"
	rootSocket   = "/run/systemd/private"
	systemBus    = "/run/dbus/system_bus_socket"
	patience     = 30 * time.Second // for an answer, as runc
	maxAuthLines = 8
)

// Error is what systemd answered instead of doing what it was asked.
type Error struct {
	// Name is D-Bus' name for it: org.freedesktop.systemd1.NoSuchUnit.
	Name, Message string
}

// Error returns systemd's words.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Message
}

// is tells whether err is systemd's error of that short name.
func is(err error, short string) bool {
	var e *Error
	return errors.As(err, &e) && strings.HasSuffix(e.Name, "."+short)
}

// Conn is a connection to a systemd. It is for one caller at a time.
type Conn struct {
	file   *os.File
	in     *bufio.Reader
	serial uint32
	bus    bool
	// done are jobs that ended, as far as that was told: path to result.
	done map[string]string
}

// Running tells whether systemd manages this host (sd_booted(3)).
func Running() bool {
	st, err := os.Lstat(booted)
	return err == nil && st.IsDir()
}

// Dial connects to the host's systemd, or to the user's own.
func Dial(ctx context.Context, user bool) (*Conn, error) {
	var err error
	for _, a := range addresses(user, os.Getenv) {
		var c *Conn
		if c, err = dial(ctx, a); err == nil {
			return c, nil
		}
	}
	if !user && !Running() {
		err = fmt.Errorf("this host was not booted with systemd: leave out --systemd-cgroup: %w", errdefs.ErrFailedPrecondition)
	}
	if err == nil {
		err = fmt.Errorf("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set: log in as that user, with dbus-user-session installed: %w", errdefs.ErrFailedPrecondition)
	}
	return nil, fmt.Errorf("connect to systemd: %w", err)
}

// address is a socket; on a bus a name has to be asked for.
type address struct {
	path string
	bus  bool
}

// addresses are where systemd can be reached, best first: its own socket saves
// the way over the bus.
func addresses(user bool, env func(string) string) []address {
	if !user {
		return []address{{rootSocket, false}, {systemBus, true}}
	}
	var all []address
	if dir := env("XDG_RUNTIME_DIR"); strings.HasPrefix(dir, "/") {
		all = append(all, address{dir + "/systemd/private", false})
	}
	for a := range strings.SplitSeq(env("DBUS_SESSION_BUS_ADDRESS"), ";") {
		kind, options, _ := strings.Cut(a, ":")
		for option := range strings.SplitSeq(options, ",") {
			if path, ok := strings.CutPrefix(option, "path="); ok && kind == "unix" && !strings.Contains(path, "%") {
				all = append(all, address{path, true})
			}
		}
	}
	if dir := env("XDG_RUNTIME_DIR"); strings.HasPrefix(dir, "/") {
		all = append(all, address{dir + "/bus", true})
	}
	return all
}

func dial(ctx context.Context, a address) (_ *Conn, err error) {
	f, err := linux.ConnectUnix(a.path)
	if err != nil {
		return nil, err
	}
	c := &Conn{file: f, in: bufio.NewReader(f), bus: a.bus, done: map[string]string{}}
	defer func() {
		if err != nil {
			_ = f.Close() // the error says why it is of no use
		}
	}()
	if err := c.within(ctx, c.authenticate); err != nil {
		return nil, fmt.Errorf("authenticate at %s: %w", a.path, err)
	}
	if !a.bus {
		return c, nil
	}
	if _, err := c.call(ctx, busName, busPath, busName, "Hello", "", nil); err != nil {
		return nil, fmt.Errorf("enter the bus at %s: %w", a.path, err)
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.file.Close() }

// within runs do, which is cut off when ctx ends or systemd does not answer for long.
func (c *Conn) within(ctx context.Context, do func() error) error {
	deadline := time.Now().Add(patience)
	if err := c.file.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.file.SetDeadline(time.Unix(1, 0)) }) // it may be closed
	err := do()
	if !stop() {
		return context.Cause(ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("systemd does not answer for %v: %w", patience, errdefs.ErrUnavailable)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("systemd closed the connection: %w", errdefs.ErrUnavailable)
	}
	return err
}

// authenticate is SASL's EXTERNAL: who we are says the socket. Nothing is said
// about our user id, which in a user namespace is another one.
func (c *Conn) authenticate() error {
	if _, err := c.file.WriteString("\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"); err != nil {
		return err
	}
	for range maxAuthLines {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch word, _, _ := strings.Cut(strings.TrimSpace(string(line)), " "); word {
		case "OK":
			return nil
		case "DATA": // it asks for what we have sent already
		default:
			return fmt.Errorf("it answers %q: %w", strings.TrimSpace(string(line)), fs.ErrPermission)
		}
	}
	return errFormat
}

// call sends a method call and waits for its answer.
func (c *Conn) call(ctx context.Context, target, path, iface, member, signature string, body []byte) (reply *message, err error) {
	c.serial++
	m := &message{kind: methodCall, serial: c.serial, path: path, iface: iface, member: member, signature: signature, body: body}
	if c.bus {
		m.target = target
	}
	err = c.within(ctx, func() error {
		if _, err := c.file.Write(m.encode()); err != nil {
			return err
		}
		for {
			reply, err = c.receive()
			if err != nil {
				return err
			}
			if reply.reply == m.serial && (reply.kind == methodReturn || reply.kind == errorReply) {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if reply.kind == errorReply {
		e := &Error{Name: reply.errorName}
		if strings.HasPrefix(reply.signature, "s") {
			if words, err := reply.strings(0, 1); err == nil {
				e.Message = words[0]
			}
		}
		return nil, e
	}
	return reply, nil
}

// receive reads a message, and remembers it if it tells the end of a job.
func (c *Conn) receive() (*message, error) {
	m, err := readMessage(c.in)
	if err != nil {
		return nil, err
	}
	if m.kind == signal && m.member == "JobRemoved" && m.signature == "uoss" { // number, path, unit, result
		words, err := m.strings(1, 3)
		if err != nil {
			return nil, err
		}
		if len(c.done) > 1024 {
			return nil, errFormat // we have two jobs at most, and nobody else's end is told to us for so long
		}
		c.done[words[0]] = words[2]
	}
	return m, nil
}

// job waits for the end of a job, which call's reply names, and returns its result.
func (c *Conn) job(ctx context.Context, reply *message) (result string, err error) {
	words, err := reply.strings(0, 1)
	if err != nil {
		return "", err
	}
	err = c.within(ctx, func() error {
		for {
			var ok bool
			if result, ok = c.done[words[0]]; ok {
				return nil
			}
			if _, err := c.receive(); err != nil {
				return err
			}
		}
	})
	return result, err
}

// follow asks for the signals about jobs. Systemd's own socket has them unasked.
func (c *Conn) follow(ctx context.Context) error {
	if !c.bus {
		return nil
	}
	var e encoder
	e.string("type='signal',interface='" + managerFace + "',member='JobRemoved',path='" + managerPath + "'")
	if _, err := c.call(ctx, busName, busPath, busName, "AddMatch", "s", e.b); err != nil {
		return err
	}
	_, err := c.manager(ctx, "Subscribe", "", nil)
	if is(err, "AlreadySubscribed") {
		return nil
	}
	return err
}

func (c *Conn) manager(ctx context.Context, member, signature string, body []byte) (*message, error) {
	return c.call(ctx, managerName, managerPath, managerFace, member, signature, body)
}
