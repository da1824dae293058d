package seccomp

import (
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

	"berth/internal/linux"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestNotify has a child load a filter that notifies and hand its listener over
// to an agent, who answers no call: then the kernel does, with ENOSYS. How an
// agent answers is tested with containers, in the room standalone.
func TestNotify(t *testing.T) {
	if os.Getenv(childEnv) == "notify" {
		notifyChild()
		os.Exit(0)
	}
	path := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "agent.sock")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	agent := listenAsAgent(t, path)
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
	pid := cmd.Process.Pid
	state := specs.State{Version: specs.Version, ID: "c", Status: specs.StateCreating, Pid: pid, Bundle: "/b"}
	if err := errors.Join(connection.Send(listener, ProcessState(state, pid, "a=b")), listener.Close()); err != nil {
		t.Fatal(err)
	}
	agent(map[string]any{
		"ociVersion": specs.Version, "fds": []any{"seccompFd"}, "pid": float64(pid), "metadata": "a=b",
		"state": map[string]any{"ociVersion": specs.Version, "id": "c", "status": "creating", "pid": float64(pid), "bundle": "/b"},
	})
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, want := out.String(), "mkdirat: function not implemented\n"; got != want {
		t.Errorf("the child says %q, want %q", got, want)
	}
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
	f, err := Compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: "/x", Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv},
		Syscalls: []specs.LinuxSyscall{call(specs.ActNotify, "mkdirat")},
	}, runtime.GOARCH)
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
	_, err = syscall.Read(3, word)
	try("read", err)
	try("close", listener.Close())
	fmt.Println("mkdirat:", syscall.Mkdirat(-1, "/tmp/x", 0))
}

// listenAsAgent returns a function that waits for the one connection, compares
// what it says and lets the listener go.
func listenAsAgent(t *testing.T, path string) func(want map[string]any) {
	t.Helper()
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	// By a short way: the path is longer than an address takes.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	t.Cleanup(func() { l.Close() })
	return func(want map[string]any) {
		t.Helper()
		c, err := l.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		b, oob := make([]byte, 1<<16), make([]byte, 64)
		n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(c) // to the end of the connection
		var got map[string]any
		if err = errors.Join(err, json.Unmarshal(append(b[:n], rest...), &got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the agent is told (-want +got):\n%s", diff)
		}
		messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 {
			t.Fatalf("%d control messages: %v", len(messages), err)
		}
		fds, err := syscall.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			t.Fatalf("%d files: %v", len(fds), err)
		}
		if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fds[0])); name != "anon_inode:seccomp notify" {
			t.Errorf("the file is %q, %v", name, err)
		}
		if err := syscall.Close(fds[0]); err != nil {
			t.Error(err)
		}
	}
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
