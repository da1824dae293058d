package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/linux"
	"berth/internal/testutil"
	"berth/ociruntime/lifecycle"
	"berth/spec"
	"berth/spec/hostinfo"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// box is a container to be made: an image of busybox, a request, and a place.
type box struct {
	t       *testing.T
	id      string
	root    string // its data root
	image   string // its only layer
	config  container.Config
	host    container.HostConfig
	user    spec.User
	change  func(*specs.Spec) // a last change, for what no request can ask
	stdin   bool
	started *lifecycle.Container
}

var machine = sync.OnceValues(func() (*lifecycle.Runtime, error) { return lifecycle.New() })

var lastID = struct {
	sync.Mutex
	n int
}{}

// newBox prepares a container that runs a shell script.
func newBox(t *testing.T, script string) *box {
	t.Helper()
	testutil.RequireRoot(t)
	lastID.Lock()
	lastID.n++
	id := fmt.Sprintf("%s%052x", idPrefix(), lastID.n)
	lastID.Unlock()
	b := &box{t: t, id: id, root: t.TempDir()}
	b.image = b.root + "/layers/a"
	for _, d := range []string{"layers/a/bin", "layers/a/etc", "layers/a/tmp", "layers/a/root", "layers/empty", "upper", "work", "run"} {
		if err := os.MkdirAll(b.root+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(b.image+"/tmp", 0o1777); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("needs busybox: apt-get install busybox-static: %v", err)
	}
	if err := os.WriteFile(b.image+"/bin/busybox", busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range strings.Fields("sh ps id mount umount ls cat sleep true hostname ip grep mkdir ln echo stat touch mknod chown su dd readlink head sort wc tr rm kill test find cut tty stty mv nc env unshare sed") {
		if err := os.Symlink("busybox", b.image+"/bin/"+n); err != nil {
			t.Fatal(err)
		}
	}
	b.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
	b.config = container.Config{Cmd: []string{"sh", "-c", script}, Env: []string{"PATH=/bin"}}
	b.host.NetworkMode = "none"
	return b
}

// idPrefix begins the ids of this process's containers.
func idPrefix() string { return fmt.Sprintf("%012x", os.Getpid()) }

// write puts a file into the image.
func (b *box) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.image, name), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// args makes what the engine would give the runtime.
func (b *box) args() (lifecycle.Args, error) {
	host, err := hostinfo.Read()
	if err != nil {
		return lifecycle.Args{}, err
	}
	s, err := spec.Build(spec.Input{
		ID: b.id, Config: &b.config, HostConfig: &b.host, User: b.user,
		IDs: spec.IDRange{Host: 524288, Size: 65536}, CgroupsPath: "/berth-test/" + b.id, Host: host,
	})
	if err != nil {
		return lifecycle.Args{}, err
	}
	if b.change != nil {
		b.change(s)
	}
	return lifecycle.Args{
		ID: b.id, Spec: s, RunDir: b.root + "/run", OpenStdin: b.stdin,
		Rootfs: &linux.Overlay{Root: b.root, Lower: []string{"layers/a", "layers/empty"}, Upper: "upper", Work: "work"},
	}, nil
}

// start starts the container and removes it when the test ends.
func (b *box) start() (*lifecycle.Container, error) {
	b.t.Helper()
	r, err := machine()
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := b.args()
	if err != nil {
		return nil, err
	}
	c, err := r.Start(b.t.Context(), a)
	if err != nil {
		return nil, err
	}
	b.started = c
	b.t.Cleanup(func() {
		if err := c.Delete(context.Background()); err != nil {
			b.t.Errorf("delete: %v", err)
		}
		closeIO(c.IO())
	})
	return c, nil
}

func closeIO(s lifecycle.IO) {
	for _, f := range []*os.File{s.Console, s.Stdin, s.Stdout, s.Stderr} {
		if f != nil {
			_ = f.Close() // may be closed already
		}
	}
}

// result is what a container printed, and its exit code.
type result struct {
	out  string
	code int
}

// run runs the container to its end.
func (b *box) run() result {
	b.t.Helper()
	c, err := b.start()
	if err != nil {
		b.t.Fatalf("start: %v", err)
	}
	return collect(b.t, c.Process)
}

// collect reads both outputs and waits.
func collect(t *testing.T, p *lifecycle.Process) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = p.Signal(syscall.SIGKILL) }) // it may have ended
	defer stop()
	var out strings.Builder
	if con := p.IO().Console; con != nil {
		if _, err := io.Copy(&out, con); err != nil && !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
	} else {
		for _, f := range []*os.File{p.IO().Stdout, p.IO().Stderr} {
			if _, err := io.Copy(&out, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	e, err := p.Wait(ctx)
	if err != nil {
		t.Fatalf("wait: %v; output %q", err, out.String())
	}
	return result{out.String(), e.Code}
}

// exec runs a shell script in a started container.
func (b *box) exec(script string, change func(*specs.Process)) (result, error) {
	b.t.Helper()
	a, err := b.args()
	if err != nil {
		b.t.Fatal(err)
	}
	proc := *a.Spec.Process
	proc.Args = []string{"sh", "-c", script}
	proc.Terminal = false
	if change != nil {
		change(&proc)
	}
	dir := b.t.TempDir()
	p, err := b.started.Exec(b.t.Context(), lifecycle.ExecArgs{ID: b.id, RunDir: dir, Process: &proc})
	if err != nil {
		return result{}, err
	}
	r := collect(b.t, p)
	if err := p.Release(); err != nil {
		b.t.Error(err)
	}
	closeIO(p.IO())
	return r, nil
}

// mustExec is exec for scripts that must start.
func (b *box) mustExec(script string, change func(*specs.Process)) result {
	b.t.Helper()
	r, err := b.exec(script, change)
	if err != nil {
		b.t.Fatalf("exec: %v", err)
	}
	return r
}

// want checks that all lines are in the output.
func (r result) want(t *testing.T, code int, parts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; output:\n%s", r.code, code, r.out)
	}
	for _, p := range parts {
		if !strings.Contains(r.out, p) {
			t.Errorf("output lacks %q:\n%s", p, r.out)
		}
	}
}

// lacks checks that none of the parts is in the output.
func (r result) lacks(t *testing.T, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(r.out, p) {
			t.Errorf("output has %q:\n%s", p, r.out)
		}
	}
}
