package seccomp

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"berth/internal/linux"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// notifyProfile notifies what a process does on its way to its command, but write.
func notifyProfile() *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, Architectures: x86Archs, ListenerPath: "/not/read/here", ListenerMetadata: "a=b",
		Flags:    []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat", "read", "close", "sendmsg"}, Action: specs.ActNotify}},
	}
}

// TestNotify has a child load a filter that notifies and hand its listener over;
// an agent answers for its calls.
func TestNotify(t *testing.T) {
	if os.Getenv(childEnv) == "notify" {
		notifyChild()
		os.Exit(0)
	}
	path := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "agent.sock")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	agent := newTestAgent(t, path)
	connection, err := DialAgent(path)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := linux.Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNotify$")
	cmd.Env = append(os.Environ(), childEnv+"=notify")
	cmd.ExtraFiles = []*os.File{theirs}
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	pidfd := -1
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &pidfd}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	child := os.NewFile(uintptr(pidfd), "pidfd")
	defer child.Close()
	listener, err := TakeListener(ours, child)
	if err != nil {
		t.Fatal(err, out)
	}
	state := specs.State{Version: specs.Version, ID: "c", Status: specs.StateCreating, Pid: cmd.Process.Pid, Bundle: "/b"}
	if err := connection.Send(listener, ProcessState(state, cmd.Process.Pid, "a=b")); err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, want := out.String(), "mkdirat: value too large for defined data type\n"; got != want {
		t.Errorf("the child says %q, want %q", got, want)
	}
	agent.mustHaveHeard(t, map[string]any{
		"ociVersion": specs.Version, "fds": []any{"seccompFd"}, "pid": float64(cmd.Process.Pid), "metadata": "a=b",
		"state": map[string]any{"ociVersion": specs.Version, "id": "c", "status": "creating", "pid": float64(cmd.Process.Pid), "bundle": "/b"},
	})
}

// notifyChild does what the steps of a plan do.
func notifyChild() {
	runtime.LockOSThread()
	try := func(what string, err error) {
		if err != nil {
			fmt.Println(what, err)
			os.Exit(1)
		}
	}
	f, err := Compile(notifyProfile(), runtime.GOARCH)
	try("compile", err)
	if !f.Notifies() || f.Flags != FlagNewListener|FlagWaitKillableRecv {
		fmt.Printf("flags %#x\n", f.Flags)
		os.Exit(1)
	}
	try("no_new_privs", linux.SetNoNewPrivs())
	listener, err := linux.LoadSeccomp(f.Bytes(), f.Flags)
	try("load", err)
	word := binary.LittleEndian.AppendUint64(nil, uint64(listener.Fd()))
	_, err = syscall.Write(3, word)
	try("write", err)
	_, err = syscall.Read(3, word) // answered by the agent: go on
	try("read", err)
	try("close", syscall.Close(int(listener.Fd())))
	fmt.Println("mkdirat:", syscall.Mkdirat(-1, "/tmp/x", 0))
}

// testAgent lets every call pass but mkdirat, which fails with EOVERFLOW.
type testAgent struct {
	state chan []byte
	err   chan error
}

func newTestAgent(t *testing.T, path string) *testAgent {
	t.Helper()
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	// By a short way: the path is longer than an address takes.
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	a := &testAgent{make(chan []byte, 1), make(chan error, 1)}
	go func() { a.err <- a.serve(l.(*net.UnixListener)) }() // joined by mustHaveHeard
	t.Cleanup(func() { l.Close() })
	return a
}

func (a *testAgent) mustHaveHeard(t *testing.T, want map[string]any) {
	t.Helper()
	select {
	case err := <-a.err:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the agent does not end")
	}
	var got map[string]any
	if err := json.Unmarshal(<-a.state, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the agent is told (-want +got):\n%s", diff)
	}
}

func (a *testAgent) serve(l *net.UnixListener) error {
	c, err := l.AcceptUnix()
	if err != nil {
		return err
	}
	defer c.Close()
	b, oob := make([]byte, 1<<16), make([]byte, 64)
	n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return err
	}
	rest, err := io.ReadAll(bufio.NewReader(c)) // to the end of the connection
	if err != nil {
		return err
	}
	a.state <- append(b[:n], rest...)
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
	if _, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, 0, 0, 0, 0); errno != 0 {
		return errno != syscall.EINTR, fmt.Errorf("poll: %w", errno)
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
	native := amd64
	if runtime.GOARCH == "arm64" {
		native = arm64
	}
	answer.id, answer.flags = got.id, proceed
	if nr, _ := native.number("mkdirat"); got.nr == nr {
		answer.err, answer.flags = -int32(syscall.EOVERFLOW), 0
	}
	return false, ioctl(send, unsafe.Pointer(&answer))
}

func TestDialAgentFails(t *testing.T) {
	if _, err := DialAgent(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "listenerPath") {
		t.Errorf("no socket: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := DialAgent(file); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a file: %v", err)
	}
}

func TestTakeListenerFails(t *testing.T) {
	ours, theirs, err := linux.Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if _, err := theirs.Write([]byte{200, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	self, err := linux.PidfdOpen(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if _, err := TakeListener(ours, self); !errors.Is(err, syscall.EBADF) || !strings.Contains(err.Error(), "file 200 of the process") {
		t.Errorf("no such file: %v", err)
	}
	if _, err := TakeListener(ours, self); !errors.Is(err, io.EOF) {
		t.Errorf("the process has ended: %v", err)
	}
}
