package berthtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
)

// Limit is the time that a test waits for something that should happen at once;
// it is long because the machine may be busy.
const Limit = 60 * time.Second

// built is the result of building the binaries, which a test process does once.
var built = sync.OnceValues(build)

// Binaries is the directory with berth and berthd: BERTH_TEST_BIN if it is set
// (make test sets it), else they are built. Tests that use them need root.
func Binaries(t testing.TB) string {
	t.Helper()
	testutil.RequireRoot(t)
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func build() (string, error) {
	if dir := os.Getenv("BERTH_TEST_BIN"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.MkdirTemp("", "berth-bin-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=test", "-o", dir+"/", "berth/cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build berth and berthd: %w\n%s", err, out)
	}
	return dir, nil
}

// Clean removes the binaries that Binaries built. TestMain calls it at the end.
func Clean() error {
	if os.Getenv("BERTH_TEST_BIN") != "" {
		return nil
	}
	dir, err := built()
	if err != nil {
		return nil //nolint:nilerr // nothing was built, and the tests have told so
	}
	return os.RemoveAll(dir)
}

// Instance is a berth of its own.
type Instance struct {
	Bin, Root, Run string
}

// New makes an instance whose directories are under dir, which must have a short
// path: a socket lies there. End it with Close.
func New(t testing.TB, dir string) *Instance {
	t.Helper()
	return &Instance{Bin: Binaries(t), Root: filepath.Join(dir, "root"), Run: filepath.Join(dir, "run")}
}

// Start makes an instance that ends with the test, and fails it if that leaves
// anything behind.
func Start(t testing.TB) *Instance {
	t.Helper()
	dir, err := os.MkdirTemp("", "b-")
	if err != nil {
		t.Fatal(err)
	}
	i := New(t, dir)
	t.Cleanup(func() {
		if err := errors.Join(i.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return i
}

// Env is the environment that makes berth use the instance.
func (i *Instance) Env() []string {
	return []string{"BERTH_ROOT=" + i.Root, "BERTH_RUN=" + i.Run, "PATH=" + i.Bin + ":" + os.Getenv("PATH")}
}

// Command is a berth command of the instance.
func (i *Instance) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(i.Bin, "berth"), args...)
	cmd.Env = append(os.Environ(), i.Env()...)
	return cmd
}

// Berth runs a command and returns its output and exit code.
func (i *Instance) Berth(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := i.Command(args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// Must runs a command that has to succeed and returns its output without the
// last line end.
func (i *Instance) Must(t testing.TB, args ...string) string {
	t.Helper()
	out, errOut, code := i.Berth(t, args...)
	if code != 0 {
		t.Fatalf("berth %s: exit code %d: %s", strings.Join(args, " "), code, errOut)
	}
	return strings.TrimSuffix(out, "\n")
}

// Daemon is the process id of the instance's daemon, 0 if none runs. The kernel
// tells who listens at the socket.
func (i *Instance) Daemon() int {
	conn, err := net.Dial("unix", filepath.Join(i.Run, "berth.sock"))
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	var cred *syscall.Ucred
	if err := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || cred == nil {
		return 0
	}
	return int(cred.Pid)
}

// Kill sends the daemon a signal and waits until it is gone.
func (i *Instance) Kill(s syscall.Signal) error {
	pid := i.Daemon()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, s); err != nil {
		return fmt.Errorf("kill berthd %d: %w", pid, err)
	}
	return Poll(func() error {
		if i.Daemon() == pid || syscall.Kill(pid, 0) == nil && !zombie(pid) {
			return fmt.Errorf("berthd %d still runs after %s", pid, s)
		}
		return nil
	})
}

func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(data), ") ")
	return err != nil || ok && strings.HasPrefix(rest, "Z")
}

// Close removes the instance's containers and ends its daemon.
func (i *Instance) Close() error {
	var errs []error
	if i.Daemon() != 0 {
		ids, err := i.Command("ps", "-aq").Output()
		errs = append(errs, err)
		for _, id := range strings.Fields(string(ids)) {
			if out, err := i.Command("rm", "-f", id).CombinedOutput(); err != nil {
				errs = append(errs, fmt.Errorf("remove container %s: %w: %s", id, err, out))
			}
		}
	}
	errs = append(errs, i.Kill(syscall.SIGTERM))
	return errors.Join(errs...)
}

// Log is what the daemon wrote.
func (i *Instance) Log() string {
	data, err := os.ReadFile(filepath.Join(i.Run, "berthd.log"))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Poll calls f until it returns nil, and returns its last error after Limit.
func Poll(f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
