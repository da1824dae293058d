package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

const (
	suiteModule  = "github.com/opencontainers/runtime-tools"
	suiteVersion = "v0.9.1-0.20251114084447-edf4cb3d2116"
)

// Suite is the built validation suite.
type Suite struct {
	dir string // programs/, runtimetest, rootfs-ARCH.tar.gz
}

// CacheDir is where built things are kept.
func CacheDir() string {
	dir := os.Getenv("BERTH_TEST_CACHE")
	if dir == "" {
		dir = "/var/cache/berth-test"
	}
	return filepath.Join(dir, "conformance")
}

// OpenSuite returns the suite, which it builds if the cache does not have it.
func OpenSuite(ctx context.Context, cache string) (*Suite, error) {
	dir, err := cached(cache, "suite-"+suiteVersion+"-"+runtime.Version(), func(dir string) error {
		return buildSuite(ctx, dir)
	})
	if err != nil {
		return nil, fmt.Errorf("build the validation suite: %w", err)
	}
	return &Suite{dir: dir}, nil
}

// Programs are the names of the suite's programs, sorted.
func (s *Suite) Programs() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "programs"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// cached returns the directory name in cache. If it is not there, fill fills it;
// it gets its name when it is whole.
func cached(cache, name string, fill func(dir string) error) (dir string, err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	dir = filepath.Join(cache, name)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	work, err := os.MkdirTemp(cache, "build-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	out := filepath.Join(work, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return "", err
	}
	if err := fill(out); err != nil {
		return "", err
	}
	return dir, os.Rename(out, dir)
}

// lock takes the lock that a file stands for, which processes share.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(os.NewSyscallError("flock "+path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing gives the lock back
}

func buildSuite(ctx context.Context, dir string) error {
	mod, err := newModule(ctx, suiteModule+"/...@"+suiteVersion)
	if err != nil {
		return err
	}
	defer mod.remove()
	programs := filepath.Join(dir, "programs")
	if err := os.Mkdir(programs, 0o755); err != nil {
		return err
	}
	if _, err := mod.run(ctx, "build", "-trimpath", "-ldflags", "-s -w", "-o", programs+"/", suiteModule+"/validation/..."); err != nil {
		return err
	}
	overlay, err := mod.leaveFileLimit(ctx)
	if err != nil {
		return err
	}
	if _, err := mod.run(ctx, "build", "-trimpath", "-ldflags", "-s -w", "-overlay", overlay,
		"-o", filepath.Join(dir, "runtimetest"), suiteModule+"/cmd/runtimetest"); err != nil {
		return err
	}
	source, err := mod.run(ctx, "list", "-m", "-f", "{{.Dir}}", suiteModule)
	if err != nil {
		return err
	}
	archive := "rootfs-" + runtime.GOARCH + ".tar.gz"
	return copyFile(filepath.Join(source, archive), filepath.Join(dir, archive))
}

// module is a Go module made for building one thing from elsewhere.
type module struct {
	dir string
	env []string
}

// newModule makes a module that requires target, PACKAGE@VERSION.
func newModule(ctx context.Context, target string, env ...string) (*module, error) {
	dir, err := os.MkdirTemp("", "conformance-module-")
	if err != nil {
		return nil, err
	}
	m := &module{dir: dir, env: append([]string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=mod"}, env...)}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module conformance.invalid\n\ngo 1.24\n"), 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if _, err := m.run(ctx, "get", target); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return m, nil
}

func (m *module) remove() { _ = os.RemoveAll(m.dir) } // a temporary directory

// run runs the go command in the module and returns what it prints.
func (m *module) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), m.env...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// leaveFileLimit writes an overlay under which a Go program does not raise its
// own RLIMIT_NOFILE at start. With it, as every Go program since 1.19 has it,
// runtimetest would report its own limit, not the one that the runtime set.
func (m *module) leaveFileLimit(ctx context.Context) (overlay string, err error) {
	root, err := m.run(ctx, "env", "GOROOT")
	if err != nil {
		return "", err
	}
	const name = "/src/syscall/rlimit.go"
	source, err := os.ReadFile(root + name)
	if err != nil {
		return "", err
	}
	const initializer, plain = "\nfunc init() {", "\nfunc raiseFileLimit() {"
	if !strings.Contains(string(source), initializer) {
		return "", fmt.Errorf("change %s: it has no init any more; see what raises RLIMIT_NOFILE now", root+name)
	}
	changed := filepath.Join(m.dir, "rlimit.go.txt")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), initializer, plain, 1)), 0o600); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {root + name: changed}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(m.dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// suiteCgroups are the names that some of the programs give to cgroups.
func suiteCgroups() []string { return []string{"/cgrouptest", "/testdir"} }

// alone says whether a program must not run beside others of its kind, which all
// use the same cgroups.
func alone(program string) bool {
	return strings.HasPrefix(program, "linux_cgroups_") ||
		slices.Contains([]string{"delete_resources", "delete_only_create_resources"}, program)
}
