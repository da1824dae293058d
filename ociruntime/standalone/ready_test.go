package standalone

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// manager stands for systemd: it reads what a service says, and answers barriers
// by closing the file that comes with them.
type manager struct {
	*net.UnixConn
	t *testing.T
}

func newManager(t *testing.T) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // only read
	return &manager{conn, t}
}

// told are the lines up to a barrier.
func (m *manager) told() (lines []string) {
	m.t.Helper()
	if err := m.SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
		m.t.Fatal(err)
	}
	for {
		buf, oob := make([]byte, 4096), make([]byte, 64)
		n, oobn, _, _, err := m.ReadMsgUnix(buf, oob)
		if err != nil {
			m.t.Errorf("after %q: %v", lines, err)
			return lines
		}
		if string(buf[:n]) != "BARRIER=1" {
			lines = append(lines, strings.TrimSuffix(string(buf[:n]), "\n"))
			continue
		}
		messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			m.t.Fatal(err)
		}
		files, err := syscall.ParseUnixRights(&messages[0])
		if err != nil {
			m.t.Fatal(err)
		}
		for _, fd := range files {
			if err := syscall.Close(fd); err != nil {
				m.t.Fatal(err)
			}
		}
		return lines
	}
}

// TestMain is also a process in a container.
func TestMain(m *testing.M) {
	if os.Args[0] != "says" {
		os.Exit(m.Run())
	}
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	for _, text := range os.Args[1:] {
		if text == "END" {
			os.Exit(0)
		}
		if err == nil {
			_, err = conn.Write([]byte(text))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = syscall.Pause() // until it is killed
}

// says is a process in the container that says these messages, then lives on.
func says(c *container, messages ...string) {
	self, err := os.Executable()
	c.must(err)
	c.spec.Mounts = append(c.spec.Mounts, specs.Mount{Destination: "/bin/says", Source: self, Options: []string{"bind", "ro"}})
	c.spec.Process.Args = append([]string{"says"}, messages...)
}

// TestReady: a container's process tells systemd that it is ready, by create and
// start, by a detached run and by one that waits. Nobody is told before.
func TestReady(t *testing.T) {
	for name, start := range map[string]func(c *container, a CreateArgs) error{
		"create and start": func(c *container, a CreateArgs) error {
			return errors.Join(c.runtime.Create(t.Context(), a), c.runtime.Start(t.Context(), c.id))
		},
		"run detached": func(c *container, a CreateArgs) error {
			a.Detach = true
			_, err := c.runtime.Run(t.Context(), a)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t)
			m := newManager(t)
			c.runtime.NotifySocket = m.LocalAddr().String()
			says(c, "STATUS=half way", "STATUS=nearly\nREADY=1\n")
			told := make(chan []string, 1)
			go func() { told <- m.told() }()
			c.must(start(c, c.write()))
			pid := c.wantStatus(specs.StateRunning).Pid
			if got, want := strings.Join(<-told, " "), "READY=1 MAINPID="+strconv.Itoa(pid); got != want {
				t.Errorf("the manager is told %q, want %q", got, want)
			}
			c.must(c.runtime.Delete(t.Context(), c.id, true))
			c.wantNothingLeft()
		})
	}
}

// TestReadyAttached: who waits for the container stays the service's main process.
func TestReadyAttached(t *testing.T) {
	c := newContainer(t)
	m := newManager(t)
	c.runtime.NotifySocket = m.LocalAddr().String()
	says(c, "READY=1", "END")
	told := make(chan []string, 1)
	go func() { told <- m.told() }()
	if code, err := c.runtime.Run(t.Context(), c.write()); code != 0 || err != nil {
		t.Errorf("exit %d, %v", code, err)
	}
	if got, want := strings.Join(<-told, " "), "READY=1 MAINPID="+strconv.Itoa(os.Getpid()); got != want {
		t.Errorf("the manager is told %q, want %q", got, want)
	}
}

// TestNeverReady: a start does not wait for what has ended.
func TestNeverReady(t *testing.T) {
	c := newContainer(t, "true")
	m := newManager(t)
	c.runtime.NotifySocket = m.LocalAddr().String()
	c.must(errors.Join(c.runtime.Create(t.Context(), c.write()), c.runtime.Start(t.Context(), c.id)))
	c.must(m.SetReadDeadline(time.Now()))
	if n, err := m.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the manager is told %d bytes, %v", n, err)
	}
	c.wantEnd()
	c.must(c.runtime.Delete(t.Context(), c.id, false))
	c.wantNothingLeft()
}
