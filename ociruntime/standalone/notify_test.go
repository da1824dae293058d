package standalone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// agent is a seccomp agent that lets every call pass but mkdir, which fails with EOVERFLOW.
type agent struct {
	listener *net.UnixListener
	told     chan specs.ContainerProcessState
	done     chan error
}

// newAgent makes an agent for a container whose filter notifies all that a
// process does on its way to its command but write.
func newAgent(c *container) *agent {
	c.Helper()
	path := c.dir + "/agent.sock"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	c.must(err)
	c.spec.Annotations = map[string]string{"key": "value"}
	c.spec.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: path, ListenerMetadata: "a=b",
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		Flags:         []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv},
		Syscalls: []specs.LinuxSyscall{{
			Names:  []string{"mkdir", "mkdirat", "execve", "open", "openat", "read", "close", "fcntl", "sendmsg", "capset", "dup3", "close_range", "newfstatat", "stat"},
			Action: specs.ActNotify,
		}},
	}
	a := &agent{l, make(chan specs.ContainerProcessState, 9), make(chan error, 1)}
	go func() { a.done <- a.serve() }() // joined by the cleanup
	c.Cleanup(func() {
		// It attends to a process until that ends.
		c.must(c.runtime.Delete(context.Background(), c.id, true))
		// Its processes are this one's children. Before Linux 6.11 the listener is
		// told of an end only when it is reaped.
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil) // until there is none
		}
		if err := errors.Join(l.Close(), <-a.done); err != nil {
			c.Errorf("the agent: %v", err)
		}
	})
	return a
}

// serve answers for each process until it has ended and the listening ends.
func (a *agent) serve() error {
	all := make(chan error)
	for n := 0; ; n++ {
		c, err := a.listener.AcceptUnix()
		if err != nil {
			err = nil // closed
			for range n {
				err = errors.Join(err, <-all)
			}
			return err
		}
		go func() { all <- a.attend(c) }() // joined above
	}
}

func (a *agent) attend(c *net.UnixConn) error {
	defer c.Close()
	b, oob := make([]byte, 1<<16), make([]byte, 64)
	n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	if n == 0 {
		return nil // there was no listener
	}
	if err != nil {
		return err
	}
	rest, err := io.ReadAll(c) // to the end of the connection
	var state specs.ContainerProcessState
	if err = errors.Join(err, json.Unmarshal(append(b[:n], rest...), &state)); err != nil {
		return err
	}
	a.told <- state
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("%d control messages: %w", len(messages), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return fmt.Errorf("%d files: %w", len(fds), err)
	}
	defer syscall.Close(fds[0])
	for {
		if done, err := answer(fds[0]); done || err != nil {
			return err
		}
	}
}

// answer takes one notification (struct seccomp_notif, linux/seccomp.h) and
// answers it (struct seccomp_notif_resp); done when nobody is left to notify.
func answer(listener int) (done bool, err error) {
	const receive, send, proceed = 0xc0502100, 0xc0182101, 1 // SECCOMP_IOCTL_NOTIF_RECV, _SEND, SECCOMP_USER_NOTIF_FLAG_CONTINUE
	poll := struct {
		fd              int32
		events, revents int16
	}{int32(listener), 1, 0}
	if _, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, 0, 0, 0, 0); errno == syscall.EINTR {
		return false, nil
	} else if errno != 0 {
		return true, fmt.Errorf("poll: %w", errno)
	}
	if poll.revents&1 == 0 { // POLLHUP: the last process with the filter has ended
		return true, nil
	}
	var got struct {
		id         uint64
		pid, flags uint32
		nr, arch   uint32
		ip         uint64
		args       [6]uint64
	}
	answer := struct {
		id         uint64
		val        int64
		err, flags int32
	}{}
	ioctl := func(what uintptr, arg unsafe.Pointer) error {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(listener), what, uintptr(arg))
		if errno == 0 || errno == syscall.ENOENT { // the process was killed meanwhile
			return nil
		}
		return fmt.Errorf("ioctl %#x: %w", what, errno)
	}
	if err := ioctl(receive, unsafe.Pointer(&got)); err != nil {
		return false, err
	}
	answer.id, answer.flags = got.id, proceed
	const mkdir = 83 // of amd64; arm64 has only the other
	if got.nr == syscall.SYS_MKDIRAT || runtime.GOARCH == "amd64" && got.nr == mkdir {
		answer.err, answer.flags = -int32(syscall.EOVERFLOW), 0
	}
	return false, ioctl(send, unsafe.Pointer(&answer))
}

// wantTold waits until the agent is told of a process.
func (a *agent) wantTold(t *testing.T) specs.ContainerProcessState {
	t.Helper()
	select {
	case s := <-a.told:
		return s
	case <-time.After(20 * time.Second):
		t.Fatal("the agent is told of no process")
		panic("not reached")
	}
}

// TestNotify runs the ways to a process with a filter that asks an agent for
// most of its calls, before and after it drops its privileges.
func TestNotify(t *testing.T) {
	for _, noNewPrivs := range []bool{false, true} {
		t.Run(fmt.Sprintf("no new privileges %t", noNewPrivs), func(t *testing.T) {
			c := newContainer(t, "sh", "-c", "busybox mkdir /tmp/made 2>&1; ls /tmp | wc -l; cat")
			c.capture()
			a := newAgent(c)
			c.spec.Process.NoNewPrivileges = noNewPrivs
			c.must(c.runtime.Create(t.Context(), c.write()))
			s := c.wantStatus(specs.StateCreated)
			told := a.wantTold(t)
			if told.Version != specs.Version || told.Metadata != "a=b" || fmt.Sprint(told.Fds) != "[seccompFd]" || told.Pid != s.Pid ||
				told.State.ID != c.id || told.State.Status != specs.StateCreating || told.State.Pid != s.Pid || told.State.Bundle != c.dir || told.State.Annotations["key"] != "value" {
				t.Errorf("the agent is told %+v", told)
			}
			c.must(c.runtime.Start(t.Context(), c.id))
			c.wantEnd()
			if said := c.said(); !strings.Contains(said, "Value too large for defined data type") || !strings.HasSuffix(said, "\n0\n") {
				t.Errorf("output %q, want mkdir to fail", said)
			}
		})
	}
}

func TestNotifyExec(t *testing.T) {
	c := newContainer(t, "sleep", "1000")
	a := newAgent(c)
	args := c.write()
	args.Detach = true
	if _, err := c.runtime.Run(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	s := c.wantStatus(specs.StateRunning)
	a.wantTold(t)
	process := *c.spec.Process
	process.Args = []string{"sh", "-c", "busybox mkdir /tmp/made 2>/dev/null || exit 41"}
	code, err := c.runtime.Exec(t.Context(), c.id, ExecArgs{Process: &process})
	if code != 41 || err != nil {
		t.Errorf("exec: %d, %v, want 41", code, err)
	}
	if told := a.wantTold(t); told.State.Status != specs.StateRunning || told.State.Pid != s.Pid || told.Pid == s.Pid || told.State.ID != c.id {
		t.Errorf("the agent is told %+v", told)
	}
}

// TestNotifyFails: without an agent, or where the process cannot hand its
// listener over, there is no container.
func TestNotifyFails(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*specs.LinuxSeccomp)
		want   string
	}{
		"nobody listens": {func(p *specs.LinuxSeccomp) { p.ListenerPath += ".none" }, "linux.seccomp.listenerPath"},
		"no path":        {func(p *specs.LinuxSeccomp) { p.ListenerPath = "" }, "needs a listenerPath"},
		"write notified": {func(p *specs.LinuxSeccomp) { p.Syscalls[0].Names = append(p.Syscalls[0].Names, "write") }, "cannot be used for write"},
		"write denied": {func(p *specs.LinuxSeccomp) {
			p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{"write"}, Action: specs.ActErrno})
		}, "wait for the seccomp listener: EOF: the process has ended: the seccomp profile must let write"},
		"a step fails before": {func(*specs.LinuxSeccomp) {}, "not_there"},
		"no command":          {func(p *specs.LinuxSeccomp) {}, "executable file not found in $PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := "true"
			if name == "no command" {
				cmd = "not-there"
			}
			k := newContainer(t, cmd)
			newAgent(k)
			c.change(k.spec.Linux.Seccomp)
			if name == "a step fails before" {
				k.spec.Linux.Sysctl = map[string]string{"net.ipv4.not_there": "1"}
			}
			_, err := k.runtime.Run(t.Context(), k.write())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestNotifyPreserves has the files that the caller preserves in the way of those
// that the listener takes.
func TestNotifyPreserves(t *testing.T) {
	c := newContainer(t, "sh", "-c", "busybox mkdir /tmp/made 2>/dev/null || ls /proc/self/fd | wc -l")
	c.capture()
	a := newAgent(c)
	for fd := 3; fd < 9; fd++ {
		if _, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err != nil {
			f, err := os.Open("/dev/null")
			c.must(err)
			defer f.Close()
		}
	}
	args := c.write()
	args.PreserveFDs = 6
	if code, err := c.runtime.Run(t.Context(), args); code != 0 || err != nil || c.said() != "10\n" {
		t.Errorf("%d, %v, %q, want 3 standard files, 6 more, and the one that ls reads", code, err, c.said())
	}
	a.wantTold(t)
}
