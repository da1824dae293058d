package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/plan"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Adopt takes over a container that an earlier daemon started, by its RunDir:
// its init runs, or has ended and its exit is recorded there. os.ErrNotExist if
// there is neither a keeper nor an exit record.
func (r *Runtime) Adopt(id, runDir string, spec *specs.Spec) (*Container, error) {
	c := &Container{runtime: r, id: id, spec: spec}
	if path := spec.Linux.CgroupsPath; path != "" {
		cg, err := cgroups.Open(path)
		switch {
		case err == nil:
			c.cgroup = cg
		case !errors.Is(err, errdefs.ErrNotFound):
			return nil, err
		}
	}
	p, err := adopt(id, runDir, spec.Process.Terminal)
	if err != nil {
		return nil, fmt.Errorf("adopt container %s: %w", id, err)
	}
	c.Process = p
	return c, nil
}

// adopt finds the keeper of a run directory and takes copies of its files. A
// keeper that is gone leaves an exit record, or nothing.
func adopt(id, runDir string, terminal bool) (*Process, error) {
	var rec keeperRecord
	if err := readRecord(runDir, keeperFile, &rec); err != nil {
		return nil, err
	}
	gone := func() (*Process, error) {
		p := &Process{runDir: runDir}
		return p, p.ended()
	}
	keeper, err := linux.PidfdOpen(rec.Keeper)
	if err == nil && !isKeeper(rec.Keeper, id) {
		err = errors.Join(os.ErrProcessDone, keeper.Close())
	}
	if errors.Is(err, os.ErrProcessDone) {
		return gone()
	}
	if err != nil {
		return nil, err
	}
	if err := keeper.Close(); err != nil {
		return nil, err
	}
	p := &Process{runDir: runDir}
	err = p.takeOver(rec.Keeper, terminal)
	if errors.Is(err, os.ErrProcessDone) { // it was killed a moment ago
		return gone()
	}
	return p, err
}

// ended is a process whose keeper is gone.
func (p *Process) ended() error {
	exit, err := readExit(p.runDir)
	if err != nil {
		return err
	}
	p.exit, p.done = exit, make(chan struct{})
	close(p.done)
	p.release.Do(func() {}) // there is nothing to release
	return nil
}

// takeOver copies the daemon's ends out of a running keeper.
func (p *Process) takeOver(keeper int, terminal bool) (err error) {
	pidfd, err := linux.PidfdOpen(keeper)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pidfd.Close()) }()
	get := func(fd int, name string, to **os.File) {
		if err == nil {
			*to, err = linux.PidfdGetfd(pidfd, fd, name, true)
		}
	}
	get(plan.FDNotifyR, "notify", &p.notify)
	if !terminal {
		get(plan.FDStdout, "stdout", &p.io.Stdout)
		get(plan.FDStderr, "stderr", &p.io.Stderr)
	}
	if err == nil {
		err = p.open(keeper, terminal)
	}
	if err != nil {
		for _, f := range []*os.File{p.notify, p.io.Stdout, p.io.Stderr} {
			if f != nil {
				err = errors.Join(err, f.Close())
			}
		}
	}
	return err
}

// isKeeper says whether a process is the keeper of id. A pid may have been used again.
func isKeeper(pid int, id string) bool { return id != "" && keeperOf(pid) == id }

// keeperOf is the id of the container or exec that a process is the keeper of: its
// executable is a program and its arguments name it. Empty if it is none.
func keeperOf(pid int) string {
	dir := fmt.Sprintf("/proc/%d", pid)
	exe, err := os.Readlink(dir + "/exe")
	if err != nil || !strings.HasPrefix(exe, "/memfd:berth") {
		return ""
	}
	cmdline, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return ""
	}
	name, rest, _ := strings.Cut(string(cmdline), "\x00")
	id, end, _ := strings.Cut(rest, "\x00")
	if name != keeperName || end != "" {
		return ""
	}
	return id
}

// KillKeeper ends the keeper of a container that cannot be adopted: its daemon was
// killed before the keeper's first record, or its run directory is damaged. Else
// it would hold the container's output for ever. None is no error.
func (r *Runtime) KillKeeper(id string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("look for the keeper of %s: %w", id, err)
	}
	var errs []error
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !isKeeper(pid, id) {
			continue
		}
		errs = append(errs, killKeeper(pid, id))
	}
	return errors.Join(errs...)
}

func killKeeper(pid int, id string) error {
	keeper, err := linux.PidfdOpen(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open keeper %d: %w", pid, err)
	}
	if isKeeper(pid, id) { // asked after the opening: the number may be another's by now
		if kerr := linux.PidfdSignal(keeper, syscall.SIGKILL); !errors.Is(kerr, os.ErrProcessDone) {
			err = kerr
		}
	}
	return errors.Join(err, keeper.Close())
}

// RunningKeeper finds a keeper that runs, of any of the containers whose run
// directories are below dir; 0 if none does. A daemon of a user enters the
// namespaces that it holds.
func RunningKeeper(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for running containers: %w", err)
	}
	unrecorded := map[string]bool{}
	for _, e := range entries {
		var rec keeperRecord
		err := readRecord(dir+"/"+e.Name(), keeperFile, &rec)
		if err == nil && isKeeper(rec.Keeper, e.Name()) {
			return rec.Keeper, nil
		}
		unrecorded[e.Name()] = err != nil
	}
	// Its daemon was killed before the keeper's first record.
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("look for running containers: %w", err)
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		if id := keeperOf(pid); unrecorded[id] {
			return pid, nil
		}
	}
	return 0, nil
}
