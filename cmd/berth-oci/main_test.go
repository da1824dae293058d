package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// limit is how long a test waits for what should happen at once.
const limit = 60 * time.Second

var built = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("BERTH_TEST_BIN"); dir != "" {
		return filepath.Abs(dir + "/berth-oci")
	}
	dir, err := os.MkdirTemp("", "berth-oci-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build berth-oci: %w\n%s", err, out)
	}
	return dir + "/berth-oci", nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := built(); err == nil && os.Getenv("BERTH_TEST_BIN") == "" {
		_ = os.RemoveAll(filepath.Dir(bin)) // a temporary directory
	}
	os.Exit(code)
}

// box is a bundle of busybox and a state directory.
type box struct {
	t            *testing.T
	program      string
	bundle, root string
	ids          []string
}

// newBox makes a bundle whose command is script. The program is berth-oci, or another runtime.
func newBox(t *testing.T, program, script string, change ...func(*specs.Spec)) *box {
	t.Helper()
	testutil.RequireRoot(t)
	if program == "" {
		var err error
		if program, err = built(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	b := &box{t: t, program: program, bundle: dir + "/b", root: dir + "/root"}
	bin := b.bundle + "/rootfs/bin"
	for _, d := range []string{bin, b.bundle + "/rootfs/proc", b.bundle + "/rootfs/dev", b.bundle + "/rootfs/sys", b.bundle + "/rootfs/tmp"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin+"/busybox", data, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "sleep", "true", "id", "cat", "ls", "env", "pwd", "tail", "stty"} {
		if err := os.Symlink("busybox", bin+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	b.configure(script, change...)
	t.Cleanup(b.close)
	return b
}

// configure writes config.json: that of berth-oci spec, changed.
func (b *box) configure(script string, change ...func(*specs.Spec)) {
	b.t.Helper()
	_ = os.Remove(b.bundle + "/config.json") // there is none the first time
	ours, err := built()
	if err != nil {
		b.t.Fatal(err)
	}
	if out, err := exec.Command(ours, "spec", "--bundle", b.bundle).CombinedOutput(); err != nil {
		b.t.Fatalf("spec: %v: %s", err, out)
	}
	data, err := os.ReadFile(b.bundle + "/config.json")
	if err != nil {
		b.t.Fatal(err)
	}
	var s specs.Spec
	if err := json.Unmarshal(data, &s); err != nil {
		b.t.Fatal(err)
	}
	s.Version = "1.0.2" // for old runtimes
	s.Process.Terminal = false
	s.Process.Args = []string{"sh", "-c", script}
	for _, c := range change {
		c(&s)
	}
	if data, err = json.Marshal(s); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.bundle+"/config.json", data, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) close() {
	for _, id := range b.ids {
		if out, err := exec.Command(b.program, "--root", b.root, "delete", "--force", id).CombinedOutput(); err != nil {
			b.t.Errorf("clean up %s: %v: %s", id, err, out)
		}
	}
}

// id is a container's name that no other test has.
func (b *box) id(name string) string {
	id := fmt.Sprintf("berth-test-%d-%s-%s", os.Getpid(), filepath.Base(b.program), name)
	b.ids = append(b.ids, id)
	return id
}

func (b *box) command(args ...string) *exec.Cmd {
	cmd := exec.Command(b.program, append([]string{"--root", b.root}, args...)...)
	cmd.Dir = b.bundle
	return cmd
}

// run runs the program. Its standard output goes to a file, as a created
// container keeps it open.
func (b *box) run(args ...string) (code int, stdout, stderr string) {
	b.t.Helper()
	var files [2]*os.File
	for i := range files {
		f, err := os.CreateTemp(b.t.TempDir(), "out")
		if err != nil {
			b.t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	var text [2]string
	for i, f := range files {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			b.t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err != nil {
			b.t.Fatal(err)
		}
		text[i] = string(data)
	}
	return cmd.ProcessState.ExitCode(), text[0], text[1]
}

// must is run for what has to work.
func (b *box) must(args ...string) string {
	b.t.Helper()
	code, out, errs := b.run(args...)
	if code != 0 {
		b.t.Fatalf("%s: exit code %d: %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func (b *box) status(id string) string {
	b.t.Helper()
	var s struct{ Status string }
	if err := json.Unmarshal([]byte(b.must("state", id)), &s); err != nil {
		b.t.Fatal(err)
	}
	return s.Status
}

// await polls until a condition holds.
func (b *box) await(what string, holds func() bool) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s did not come true in %s", what, limit)
		}
	}
}

const forever = "trap 'exit 3' TERM; while :; do sleep 1 & wait; done"

func TestLifeOfAContainer(t *testing.T) {
	b := newBox(t, "", forever)
	id := b.id("life")
	pidFile := b.root + ".pid"
	b.must("create", "--pid-file", pidFile, id)
	if s := b.status(id); s != "created" {
		t.Errorf("after create it is %s", s)
	}
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if list := b.must("list"); !strings.Contains(list, id+"   "+string(pid)+" ") {
		t.Errorf("list, pid %s:\n%s", pid, list)
	}
	if code, _, errs := b.run("create", id); code != 1 || !strings.Contains(errs, "exists already") {
		t.Errorf("create again: exit code %d, %s", code, errs)
	}
	b.must("start", id)
	if s := b.status(id); s != "running" {
		t.Errorf("after start it is %s", s)
	}
	if code, _, errs := b.run("start", id); code != 1 {
		t.Errorf("start again: exit code %d, %s", code, errs)
	}
	if code, _, errs := b.run("delete", id); code != 1 || !strings.Contains(errs, "not stopped") {
		t.Errorf("delete: exit code %d, %s", code, errs)
	}
	b.must("pause", id)
	if s := b.status(id); s != "paused" {
		t.Errorf("after pause it is %s", s)
	}
	if code, _, errs := b.run("exec", id, "true"); code != 255 || !strings.Contains(errs, "paused") {
		t.Errorf("exec when paused: exit code %d, %s", code, errs)
	}
	b.must("resume", id)
	b.must("update", "--pids-limit", "77", id)
	if stats := b.must("events", "--stats", id); !strings.Contains(stats, `"limit":77`) {
		t.Errorf("after update: %s", stats)
	}
	b.must("kill", id, "TERM")
	b.await("the end of "+id, func() bool { return b.status(id) == "stopped" })
	if code, _, errs := b.run("kill", id); code != 1 || !strings.Contains(errs, "container not running") {
		t.Errorf("kill when stopped: exit code %d, %s", code, errs)
	}
	b.must("kill", "--all", id)
	b.must("delete", id)
	if code, _, errs := b.run("state", id); code != 1 || !strings.Contains(errs, "does not exist") {
		t.Errorf("state after delete: exit code %d, %s", code, errs)
	}
	b.must("delete", "--force", id)
}

func TestExitCodes(t *testing.T) {
	b := newBox(t, "", "exit 7")
	if code, _, errs := b.run("run", b.id("code")); code != 7 {
		t.Errorf("exit 7: exit code %d, %s", code, errs)
	}
	b.configure("kill -KILL $$")
	if code, _, _ := b.run("run", b.id("kill")); code == 0 { // the init of a pid namespace is not killed from within
		t.Log("the init survived its own KILL")
	}
	b.configure(forever)
	id := b.id("exec")
	b.must("run", "--detach", id)
	for script, want := range map[string]int{"exit 0": 0, "exit 9": 9, "kill -KILL $$": 137, "kill -TERM $$": 143} {
		if code, _, errs := b.run("exec", id, "sh", "-c", script); code != want {
			t.Errorf("%s: exit code %d, want %d, %s", script, code, want, errs)
		}
	}
	for command, want := range map[string]string{"nope": "executable file not found in $PATH", "/tmp": "permission denied", "/no/such": "no such file or directory"} {
		if code, _, errs := b.run("exec", id, command); code != 255 || !strings.Contains(errs, want) {
			t.Errorf("exec %s: exit code %d, %s", command, code, errs)
		}
	}
	b.configure("true", func(s *specs.Spec) { s.Process.Args = []string{"nope"} })
	bad := b.id("nope")
	if code, _, errs := b.run("run", bad); code != 1 || !strings.Contains(errs, "executable file not found in $PATH") {
		t.Errorf("run of nothing: exit code %d, %s", code, errs)
	}
	if list := b.must("list", "-q"); strings.Contains(list, bad) {
		t.Errorf("a container that failed is left: %s", list)
	}
}

func TestExecFlags(t *testing.T) {
	b := newBox(t, "", forever)
	id := b.id("flags")
	b.must("run", "--detach", id)
	out := b.must("exec", "-u", "5:6", "-g", "7", "-e", "X=y", "--cwd", "/tmp", id, "sh", "-c", "id; pwd; echo $X")
	if out != "uid=5 gid=6 groups=6,7\n/tmp\ny\n" && out != "uid=5 gid=6 groups=7\n/tmp\ny\n" {
		t.Errorf("got %s", out)
	}
	doc := b.bundle + "/process.json"
	if err := os.WriteFile(doc, []byte(`{"args":["sh","-c","id -u"],"cwd":"/","user":{"uid":9,"gid":9},"env":["PATH=/bin"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := b.must("exec", "--process", doc, id); out != "9\n" {
		t.Errorf("process document: %s", out)
	}
	pidFile := b.root + ".pid"
	b.must("exec", "--detach", "--pid-file", pidFile, id, "sleep", "100")
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if ps := b.must("ps", "--format", "json", id); !strings.Contains(ps, string(pid)) {
		t.Errorf("ps, pid %s: %s", pid, ps)
	}
	if ps := b.must("ps", id); !strings.HasPrefix(ps, "UID ") || !strings.Contains(ps, "sleep 100\n") {
		t.Errorf("ps:\n%s", ps)
	}
	if ps := b.must("ps", id, "-o", "pid,comm"); !strings.Contains(ps, string(pid)+" sleep") {
		t.Errorf("ps -o:\n%s", ps)
	}
}

// sockets receives files from the sockets of a container that is being made.
func receive(t *testing.T, path string, start func()) *os.File {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	start()
	conn, _, err := syscall.Accept(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(conn)
	oob := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := syscall.Recvmsg(conn, make([]byte, 100), oob, syscall.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages: %v", len(messages), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d files: %v", len(fds), err)
	}
	return os.NewFile(uintptr(fds[0]), path)
}

func TestConsoleSocket(t *testing.T) {
	b := newBox(t, "", "stty size; echo on a terminal", func(s *specs.Spec) {
		s.Process.Terminal = true
		s.Process.ConsoleSize = &specs.Box{Height: 33, Width: 99}
	})
	id := b.id("console")
	if code, _, errs := b.run("create", id); code != 1 || !strings.Contains(errs, "--console-socket") {
		t.Errorf("without a socket: exit code %d, %s", code, errs)
	}
	if code, _, errs := b.run("run", "--console-socket", "/nope", id); code != 1 || !strings.Contains(errs, "detach") {
		t.Errorf("attached with a socket: exit code %d, %s", code, errs)
	}
	tty := receive(t, b.root+".sock", func() { b.must("create", "--console-socket", b.root+".sock", id) })
	defer tty.Close()
	b.must("start", id)
	data, err := io.ReadAll(tty)
	if err != nil && !errors.Is(err, syscall.EIO) { // how a terminal ends
		t.Fatal(err)
	}
	if got := string(data); got != "33 99\r\non a terminal\r\n" {
		t.Errorf("got %q", got)
	}
}

// A terminal in the mount namespace of others has a name too, and one in an exec.
func TestConsoleInMountNamespaceOfOthers(t *testing.T) {
	b := newBox(t, "", "busybox tty; sleep 1000", func(s *specs.Spec) {
		s.Process.Terminal = true
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace })
	})
	id := b.id("guest-console")
	tty := receive(t, b.root+".sock", func() { b.must("run", "--detach", "--console-socket", b.root+".sock", id) })
	defer tty.Close()
	line := func(f io.Reader) string {
		s, err := bufio.NewReader(f).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if got := line(tty); got != "/dev/console\r\n" {
		t.Errorf("the terminal is %q", got)
	}
	tty = receive(t, b.root+"2.sock", func() {
		b.must("exec", "--tty", "--detach", "--console-socket", b.root+"2.sock", id, "sh", "-c", "busybox tty; sleep 1000")
	})
	defer tty.Close()
	if got := line(tty); got != "/dev/pts/1\r\n" {
		t.Errorf("the terminal of an exec is %q", got)
	}
}

func TestPidfdSocket(t *testing.T) {
	b := newBox(t, "", forever)
	id := b.id("pidfd")
	pidFile := b.root + ".pid"
	pidfd := receive(t, b.root+".sock", func() { b.must("create", "--pid-file", pidFile, "--pidfd-socket", b.root+".sock", id) })
	defer pidfd.Close()
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(pidfd.Fd())))
	if err != nil || !strings.Contains(string(info), "\nPid:\t"+string(pid)+"\n") {
		t.Errorf("pid %s: %v\n%s", pid, err, info)
	}
}

func TestFilesForTheContainer(t *testing.T) {
	b := newBox(t, "", "cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd")
	text := func(s string) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err = w.WriteString(s); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	listen, preserved, hidden := text("listens\n"), text("preserved\n"), text("hidden\n")
	defer func() { _ = errors.Join(listen.Close(), preserved.Close(), hidden.Close()) }()
	var out, errs bytes.Buffer
	// A shell, because LISTEN_PID is the runtime's own pid.
	cmd := exec.Command("/bin/sh", "-c", `export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"`, b.program, "--root", b.root, "run", "--preserve-fds", "1", "--bundle", b.bundle, b.id("files"))
	cmd.ExtraFiles = []*os.File{listen, preserved, hidden}
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &errs)
	}
	want := "listens\npreserved\n1 1\n0\n1\n2\n3\n4\n5\n" // 5 is that of ls itself
	if out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}

func TestSignalsAndInput(t *testing.T) {
	b := newBox(t, "", "trap 'echo got it; exit 5' USR1; echo ready; while :; do sleep 1 & wait; done")
	id := b.id("signal")
	cmd := b.command("run", id)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := io.ReadFull(out, line); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 5 || string(rest) != "got it\n" {
		t.Errorf("exit code %d, %v, %q", code, err, rest)
	}
	b.configure("cat")
	in := b.command("run", b.id("input"))
	in.Stdin = strings.NewReader("from outside\n")
	if got, err := in.Output(); err != nil || string(got) != "from outside\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestEventsTellOfOOM(t *testing.T) {
	memory := int64(8 << 20)
	b := newBox(t, "", forever, func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &memory} })
	id := b.id("oom")
	b.must("run", "--detach", id)
	events := b.command("events", "--interval", "100ms", id)
	out, err := events.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Start(); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(out)
	next := func() (e struct{ Type, ID string }) {
		t.Helper()
		if err := dec.Decode(&e); err != nil || e.ID != id {
			t.Fatalf("event %+v: %v", e, err)
		}
		return e
	}
	if e := next(); e.Type != "stats" {
		t.Errorf("the first event is %+v", e)
	}
	if code, _, _ := b.run("exec", id, "tail", "/dev/zero"); code != 137 {
		t.Errorf("exit code %d of a process without memory", code)
	}
	for deadline := time.Now().Add(limit); next().Type != "oom"; {
		if time.Now().After(deadline) {
			t.Fatal("no event of type oom")
		}
	}
	b.must("kill", id, "KILL")
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if err := events.Wait(); err != nil {
		t.Errorf("events ended with %v", err)
	}
}

func TestLogForEngines(t *testing.T) {
	b := newBox(t, "", "true")
	log := b.root + ".log"
	cmd := exec.Command(b.program, "--root", b.root, "--log", log, "--log-format", "json", "create", "--bundle", "/no/bundle", b.id("log"))
	stderr, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v: %s", err, stderr)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var line struct {
		Level, Msg string
		Time       time.Time
	}
	if err := json.Unmarshal(data, &line); err != nil || line.Level != "error" || !strings.Contains(line.Msg, "has no config.json") || time.Since(line.Time) > limit {
		t.Errorf("%s: %+v, %v", data, line, err)
	}
	if string(stderr) != "berth-oci: "+line.Msg+"\n" {
		t.Errorf("standard error: %q", stderr)
	}
}
