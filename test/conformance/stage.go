package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"berth/internal/linux"
)

// A program runs under a stage, and its runtime behind another one:
//
//	runner ── stage ── program ── runtime stage ═ exec ═ crun, runc, berth-oci
//
// All are this executable, told by their environment what to be.
const (
	stageVariable   = "BERTH_CONFORMANCE_STAGE"
	runtimeVariable = "BERTH_CONFORMANCE_RUNTIME"
)

type stageRequest struct {
	Program string // its path
	Dir     string // to run in
	Self    string // this executable
	Runtime Runtime
	Limit   time.Duration
}

type stageResult struct {
	ExitCode  int
	TimedOut  bool
	Leftovers []string
}

// Stage does this process's work if it was started as a stage, and then does
// not return. Programs that use Runner call it first in main or TestMain.
func Stage() {
	var err error
	switch {
	case os.Getenv(runtimeVariable) != "":
		err = runtimeStage(os.Getenv(runtimeVariable), os.Args[1:])
	case os.Getenv(stageVariable) != "":
		err = programStage(os.Getenv(stageVariable), os.Stdout)
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runtimeStage becomes the runtime, with a state directory of the stage's own.
// It notes the ids of containers that are created.
func runtimeStage(request string, args []string) error {
	var r stageRequest
	if err := json.Unmarshal([]byte(request), &r); err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "create" {
		if err := note(r.Dir, args[len(args)-1]); err != nil {
			return err
		}
		if i := slices.Index(args, "--bundle"); i >= 0 && i+1 < len(args) && r.Runtime.OCIVersion != "" {
			if err := setVersion(filepath.Join(args[i+1], "config.json"), r.Runtime.OCIVersion); err != nil {
				return err
			}
		}
	}
	argv := append([]string{r.Runtime.Path, "--root", filepath.Join(r.Dir, "state")}, args...)
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, runtimeVariable+"=") || strings.HasPrefix(v, stageVariable+"=")
	})
	return &os.PathError{Op: "exec", Path: r.Runtime.Path, Err: syscall.Exec(r.Runtime.Path, argv, env)}
}

func note(dir, id string) error {
	f, err := os.OpenFile(filepath.Join(dir, "ids"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, id)
	return errors.Join(err, f.Close())
}

// setVersion changes the version of a configuration, unless it is invalid on
// purpose.
func setVersion(path, version string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]json.RawMessage
	if err := json.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if !strings.HasPrefix(string(config["ociVersion"]), `"1.`) {
		return nil
	}
	config["ociVersion"] = json.RawMessage(`"` + version + `"`)
	if text, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// programStage runs a program and writes how it ended to out.
func programStage(request string, out io.Writer) error {
	var r stageRequest
	if err := json.Unmarshal([]byte(request), &r); err != nil {
		return err
	}
	if err := linux.SetChildSubreaper(); err != nil {
		return err
	}
	if err := completeCgroup1(filepath.Join(r.Dir, "cgroup")); err != nil {
		return fmt.Errorf("show all cgroup v1 controllers: %w", err)
	}
	before, err := survey()
	if err != nil {
		return err
	}
	result, err := r.execute()
	if err != nil {
		return err
	}
	if result.Leftovers, err = before.tidy(&r); err != nil {
		return fmt.Errorf("remove what %s left: %w", filepath.Base(r.Program), err)
	}
	return json.NewEncoder(out).Encode(result)
}

// execute runs the program to its end, and reaps what it orphans meanwhile: a
// container's process that ended must not stay as a zombie, which no runtime
// would meet in earnest.
func (r *stageRequest) execute() (result stageResult, err error) {
	stdout, err := os.Create(filepath.Join(r.Dir, "stdout"))
	if err != nil {
		return result, err
	}
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(r.Dir, "stderr"))
	if err != nil {
		return result, err
	}
	defer stderr.Close()
	request, err := json.Marshal(r)
	if err != nil {
		return result, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return result, err
	}
	defer null.Close()
	pid, err := syscall.ForkExec(r.Program, []string{r.Program}, &syscall.ProcAttr{
		Dir: r.Dir,
		Env: append(os.Environ(), "RUNTIME="+r.Self, "TMPDIR="+filepath.Join(r.Dir, "tmp"),
			runtimeVariable+"="+string(request)),
		Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return result, &os.PathError{Op: "start", Path: r.Program, Err: err}
	}
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGCHLD)
	defer signal.Stop(ends)
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM) // the runner gives up
	defer signal.Stop(stopped)
	over := time.NewTimer(r.Limit)
	defer over.Stop()
	for {
		status, ended, err := reap(pid)
		if err != nil {
			return result, err
		}
		if ended {
			result.ExitCode = status.ExitStatus()
			return result, nil
		}
		select {
		case <-ends:
			continue
		case <-stopped:
		case <-over.C:
		}
		result.TimedOut = true
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
			return result, os.NewSyscallError("kill", err)
		}
	}
}

// reap takes the status of all children that have ended, and says whether pid
// is among them.
func reap(pid int) (status syscall.WaitStatus, ended bool, err error) {
	for {
		var s syscall.WaitStatus
		got, err := syscall.Wait4(-1, &s, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.ECHILD) || err == nil && got == 0:
			return status, ended, nil
		case err != nil:
			return status, ended, os.NewSyscallError("wait4", err)
		case got == pid:
			status, ended = s, true
		}
	}
}
