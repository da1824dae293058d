package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Runner runs programs of the suite.
type Runner struct {
	Suite *Suite
	// Limit is the time that a program has.
	Limit time.Duration
	// Beside is how many programs run at a time; most of them mostly wait.
	Beside int
}

// Run runs programs with a runtime and returns their results in the same order.
func (r *Runner) Run(ctx context.Context, rt Runtime, programs []string) ([]*Result, error) {
	unlock, err := lock(filepath.Join(filepath.Dir(r.Suite.dir), "run.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	results := make([]*Result, len(programs))
	var one sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.Beside)
	for i, name := range programs {
		group.Go(func() error {
			if alone(name) {
				one.Lock()
				defer one.Unlock()
			}
			result, err := r.run(ctx, rt, name)
			for tries := 1; err == nil && tries < attempts(name) && !result.Passed(); tries++ {
				result, err = r.run(ctx, rt, name)
			}
			if err != nil {
				return fmt.Errorf("run %s with %s: %w", name, rt.Name, err)
			}
			results[i] = result
			return nil
		})
	}
	return results, group.Wait()
}

// attempts is how often a program may run. killsig sends its signal as soon as the
// container runs, and waits not until the shell in it has set its trap: the faster
// the runtime and the busier the machine, the sooner it comes too early.
func attempts(name string) int {
	if name == "killsig" {
		return 3
	}
	return 1
}

// run runs one program in a stage of its own.
func (r *Runner) run(ctx context.Context, rt Runtime, name string) (result *Result, err error) {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Root of a user namespace is a stranger here, and has to get to its bundle.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	if err := r.furnish(dir); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	request, err := json.Marshal(stageRequest{
		Program: filepath.Join(r.Suite.dir, "programs", name),
		Dir:     dir,
		Self:    self,
		Runtime: rt,
		Limit:   r.Limit,
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), stageVariable+"="+string(request))
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	// A mount namespace of its own, in which nothing propagates to the host.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it tidies up
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the death signal is that of the thread
	defer runtime.UnlockOSThread()
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, complaint.Bytes())
	}
	var ended stageResult
	if err := json.Unmarshal(out.Bytes(), &ended); err != nil {
		return nil, fmt.Errorf("read the stage's result: %w", err)
	}
	return r.collect(dir, &Result{
		Program: name, ExitCode: ended.ExitCode, TimedOut: ended.TimedOut,
		Leftovers: ended.Leftovers, Took: time.Since(start),
	})
}

// furnish puts into a directory what the programs expect in theirs.
func (r *Runner) furnish(dir string) error {
	archive := "rootfs-" + runtime.GOARCH + ".tar.gz"
	if err := os.Symlink(filepath.Join(r.Suite.dir, archive), filepath.Join(dir, archive)); err != nil {
		return err
	}
	// The programs would copy a link as a link.
	inside := filepath.Join(dir, "runtimetest")
	if err := copyFile(filepath.Join(r.Suite.dir, "runtimetest"), inside); err != nil {
		return err
	}
	if err := os.Chmod(inside, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"tmp", "state"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) collect(dir string, result *Result) (*Result, error) {
	stdout, err := os.ReadFile(filepath.Join(dir, "stdout"))
	if err != nil {
		return nil, err
	}
	stderr, err := os.ReadFile(filepath.Join(dir, "stderr"))
	if err != nil {
		return nil, err
	}
	result.Stdout, result.Stderr = string(stdout), string(stderr)
	result.TAP, err = ParseTAP(bytes.NewReader(stdout))
	return result, err
}
