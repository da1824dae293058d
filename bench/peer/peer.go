// Package peer starts container engines and runtimes side by side, each with a
// store of its own, so that they can be compared on one machine.
//
// Level: L5.
// Owns: how each engine is set up, called and stopped.
// May import: the standard library, internal/linux.
// Must not know: what is measured.
package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/internal/linux"
)

// Engine is a container engine that is ready: its daemon runs and it has the image.
type Engine struct {
	Name    string
	Ours    bool // it is berth
	Version string
	Image   string // what it calls the toolbox image
	Daemons []int  // its daemons' processes
	// On is the thread to start its commands on; nil for any.
	On *linux.MountThread

	argv []string
	env  []string
	note string   // added to the version
	run  []string // further arguments of run
	rm   []string // and of rm
	stop []func() error
}

// RunArgs are the arguments for the engine's run command.
func (e *Engine) RunArgs(args ...string) []string {
	return append(append([]string{"run"}, e.run...), args...)
}

// Dirs are where an engine keeps everything.
type Dirs struct {
	Store string // images and containers
	Run   string // sockets and what else lasts as long as a container
	// Networks lets the engine make networks, in the network namespace of this process.
	Networks bool
}

// NotInstalledError says that an engine is missing and how to get it.
type NotInstalledError struct{ Program, Remedy string }

// Error returns "podman is not installed: apt-get install podman".
func (e *NotInstalledError) Error() string { return e.Program + " is not installed: " + e.Remedy }

// Command is the engine's command line with args.
func (e *Engine) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(e.argv[0], append(e.argv[1:len(e.argv):len(e.argv)], args...)...)
	cmd.Env = append(os.Environ(), e.env...)
	return cmd
}

// Remove kills a container and removes it. Docker's rm -f kills at once;
// podman's waits ten seconds unless told.
func (e *Engine) Remove(id string) error {
	_, err := e.Output(append(append([]string{"rm", "-f"}, e.rm...), id)...)
	return err
}

// Output runs a command and returns what it printed.
func (e *Engine) Output(args ...string) (string, error) {
	cmd := e.Command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var out []byte
	var err error
	run := func() { out, err = cmd.Output() }
	if e.On == nil {
		run()
	} else {
		e.On.Do(run)
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", e.Name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// Close stops the engine's daemons and removes what it stored.
func (e *Engine) Close() error {
	var errs []error
	for i := len(e.stop) - 1; i >= 0; i-- {
		errs = append(errs, e.stop[i]())
	}
	e.stop = nil
	return errors.Join(errs...)
}

// find looks a program up, also where only root's PATH leads.
func find(program, remedy string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		p := filepath.Join(dir, program)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", &NotInstalledError{program, remedy}
}

// Program finds a peer's program.
func Program(name string) (string, error) {
	if name == "docker" {
		return find(name, "apt-get install docker.io")
	}
	return find(name, "apt-get install "+name)
}

// daemon starts a program in the background, its output in a file of dir, and
// has Close stop it.
func (e *Engine) daemon(dir string, cmd *exec.Cmd) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(dir, filepath.Base(cmd.Path)+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), e.env...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e.stop = append(e.stop, func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() }) // it may have ended just now
		defer late.Stop()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			return err
		}
		return nil
	})
	e.Daemons = append(e.Daemons, cmd.Process.Pid)
	return cmd, nil
}

// waitFor polls until ready is nil.
func waitFor(ctx context.Context, what string, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, err)
		case <-tick.C:
		}
	}
}

// childrenOf lists the processes whose parent is pid.
func childrenOf(pid int) []int {
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		return nil // the pattern is right
	}
	var pids []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread is gone
		}
		for _, s := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(s); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}
