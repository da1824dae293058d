package dropin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
	"berth/test/berthtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := berthtest.Clean(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// counter makes names unique.
var counter atomic.Int64

// engine is one that runs containers with the runtime under test, on its own.
type engine struct {
	name    string
	dir     string   // everything of it
	command []string // its command line tool and global flags
	env     []string
	parent  string   // the cgroup of all its containers
	state   string   // the runtime's --root
	own     []string // what run and create get besides what the case says
	daemon  *daemon  // nil if it has none
}

// runtimePath is the runtime under test.
func runtimePath(t *testing.T) string {
	t.Helper()
	testutil.RequireRoot(t)
	if p := os.Getenv("BERTH_DROPIN_RUNTIME"); p != "" {
		return p
	}
	return filepath.Join(berthtest.Binaries(t), "berth-oci")
}

// peer says whether another runtime than berth-oci is tested.
func peer() bool { return os.Getenv("BERTH_DROPIN_RUNTIME") != "" }

// peerLacks skips what another runtime than berth-oci does not do.
func peerLacks(t *testing.T, why string) {
	t.Helper()
	if peer() {
		t.Skip("not with this runtime: " + why)
	}
}

// newEngine makes the directory of an engine, which goes with the test after
// what is registered with t.Cleanup later.
func newEngine(t *testing.T, name string, tools ...string) *engine {
	t.Helper()
	testutil.RequireRoot(t)
	for _, tool := range append([]string{name}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed: make test-deps installs it", tool)
		}
	}
	dir, err := os.MkdirTemp("", "dropin-")
	if err != nil {
		t.Fatal(err)
	}
	// A container in a user namespace goes through it.
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	e := &engine{name: name, dir: dir, parent: "/" + filepath.Base(dir)}
	writeImage(t, e.path("image.tar"))
	t.Cleanup(func() {
		e.leftovers(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (e *engine) path(name string) string { return filepath.Join(e.dir, name) }

// write writes a file into the engine's directory and returns its path.
func (e *engine) write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	p := e.path(name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return p
}

// result is what a command did.
type result struct {
	command  string
	out, err string // without line ends around them
	code     int
}

func (r result) String() string {
	return fmt.Sprintf("%s: exit code %d\nstdout: %s\nstderr: %s", r.command, r.code, r.out, r.err)
}

// args completes a command line of the engine.
func (e *engine) args(args []string) []string {
	all := append([]string{}, e.command...)
	if len(args) > 0 && (args[0] == "run" || args[0] == "create") {
		all = append(append(all, args[0]), e.own...)
		args = args[1:]
	}
	return append(all, args...)
}

// cmd is a command of the engine, to be run by the caller.
func (e *engine) cmd(ctx context.Context, args ...string) *exec.Cmd {
	all := e.args(args)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.Env = append(os.Environ(), e.env...)
	cmd.Dir = e.dir
	return cmd
}

// try runs a command of the engine.
func (e *engine) try(t *testing.T, args ...string) result {
	t.Helper()
	return e.feed(t, "", args...)
}

// feed runs a command of the engine with something to read.
func (e *engine) feed(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), berthtest.Limit)
	defer cancel()
	cmd := e.cmd(ctx, args...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	return finish(ctx, t, cmd)
}

// finish runs a command to its end.
func finish(ctx context.Context, t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	// What a killed command leaves behind may keep the pipes open.
	cmd.WaitDelay = berthtest.Limit / 10
	err := cmd.Run()
	r := result{strings.Join(cmd.Args, " "), sober(out.String()), sober(errOut.String()), -1}
	if cmd.ProcessState != nil {
		r.code = cmd.ProcessState.ExitCode()
	}
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", r, errors.Join(err, ctx.Err()))
	}
	return r
}

// aside matches what Podman says about the machine, see unmounted.
var aside = regexp.MustCompile(`(?m)^.*Failed to add conmon to cgroupfs sandbox cgroup.*\n?`)

// sober is what a command wrote, without the space around it.
func sober(text string) string { return strings.TrimSpace(aside.ReplaceAllString(text, "")) }

// must runs a command of the engine that has to succeed and returns its output.
func (e *engine) must(t *testing.T, args ...string) string {
	t.Helper()
	r := e.try(t, args...)
	if r.code != 0 {
		t.Fatal(r)
	}
	return r.out
}

// run runs a shell script in a new container that goes with its end.
func (e *engine) run(t *testing.T, script string, flags ...string) result {
	t.Helper()
	args := append([]string{"run", "--rm"}, flags...)
	return e.try(t, append(args, imageName, "sh", "-c", script)...)
}

// start runs a container in the background that goes with the test.
func (e *engine) start(t *testing.T, flags []string, command ...string) (id string) {
	t.Helper()
	return e.container(t, "run", append([]string{"-d"}, flags...), command...)
}

// container makes one with run or create; it goes with the test.
func (e *engine) container(t *testing.T, verb string, flags []string, command ...string) (id string) {
	t.Helper()
	name := e.newName(t)
	args := append([]string{verb, "--name", name}, flags...)
	r := e.try(t, append(append(args, imageName), command...)...)
	if r.code != 0 {
		t.Fatal(r)
	}
	lines := strings.Split(r.out, "\n")
	return lines[len(lines)-1]
}

// newName is a name for a container that is removed at the end of the test if it
// is still there.
func (e *engine) newName(t *testing.T) string {
	t.Helper()
	name := "c" + strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(t.Name(), "-"))
	name += fmt.Sprint(counter.Add(1))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), berthtest.Limit)
		defer cancel()
		args := []string{"rm", "-f"}
		if e.name == "podman" {
			args = append(args, "-t", "0", "-i")
		}
		r := finish(ctx, t, e.cmd(ctx, append(args, name)...))
		if r.code != 0 && !strings.Contains(r.err, "No such container") {
			t.Error(r)
		}
	})
	return name
}

// inspect is a field of a container's description.
func (e *engine) inspect(t *testing.T, id, format string) string {
	t.Helper()
	return e.must(t, "inspect", "-f", "{{"+format+"}}", id)
}

// until waits until a field of a container's description has a value.
func (e *engine) until(t *testing.T, id, format, want string) {
	t.Helper()
	err := pollCommand(func() error {
		if got := e.inspect(t, id, format); got != want {
			return fmt.Errorf("%s of %s is %q, want %q", format, id, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// matches fails the test unless the whole text is what the expression says.
func matches(t *testing.T, what, text, expression string) {
	t.Helper()
	if !regexp.MustCompile(`^(?s:` + expression + `)$`).MatchString(text) {
		t.Errorf("%s: got %q, want %q", what, text, expression)
	}
}

// expect fails the test unless a command had this exit code and output.
func expect(t *testing.T, r result, code int, out string) {
	t.Helper()
	if r.code != code || !regexp.MustCompile(`^(?s:`+out+`)$`).MatchString(r.out) {
		t.Errorf("want exit code %d and stdout %q: %v", code, out, r)
	}
}

// failsWith fails the test unless a command had this exit code and said this on stderr.
func failsWith(t *testing.T, r result, code int, text string) {
	t.Helper()
	if r.code != code || !regexp.MustCompile(text).MatchString(r.err) {
		t.Errorf("want exit code %d and stderr with %q: %v", code, text, r)
	}
}

// daemonize starts a daemon that ends with the test.
func (e *engine) daemonize(t *testing.T, args []string, ready func() error) {
	t.Helper()
	e.daemon = &daemon{args: args, ready: ready}
	t.Cleanup(func() { e.halt(t) })
	e.boot(t)
}

// daemon is a process of an engine that outlives its commands.
type daemon struct {
	args  []string
	ready func() error
	cmd   *exec.Cmd
	ended chan error
}

// boot starts the daemon and waits until it answers.
func (e *engine) boot(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(e.path("daemon.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d := e.daemon
	d.cmd = exec.Command(d.args[0], d.args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.Dir = e.dir
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	d.ended = ended
	go func() { ended <- d.cmd.Wait() }() // halt takes it
	err = berthtest.Poll(func() error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", d.args, err, e.log())
		default:
		}
		return d.ready()
	})
	if err != nil {
		t.Fatalf("%s does not answer: %v\n%s", d.args, err, e.log())
	}
}

// halt asks the daemon to end and waits for it.
func (e *engine) halt(t *testing.T) {
	t.Helper()
	d := e.daemon
	if d.ended == nil {
		return
	}
	if t.Failed() && testing.Verbose() {
		t.Logf("the daemon's log:\n%s", e.log())
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	select {
	case <-d.ended:
	case <-time.After(berthtest.Limit):
		t.Errorf("%s does not end on SIGTERM", d.args)
		_ = d.cmd.Process.Kill() // it ends then, or the wait below does not
		<-d.ended
	}
	d.ended = nil
}

// log is the end of what the daemon has said.
func (e *engine) log() string {
	data, err := os.ReadFile(e.path("daemon.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(data), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// plain runs a command line as it is.
func (e *engine) plain(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), berthtest.Limit)
	defer cancel()
	cmd := e.cmd(ctx)
	cmd.Path, cmd.Args = args[0], args
	if path, err := exec.LookPath(args[0]); err == nil {
		cmd.Path = path
	}
	return finish(ctx, t, cmd)
}

// untar unpacks the image into a directory.
func (e *engine) untar(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", dir, "-xf", e.path("image.tar")).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
}
