package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"berth/internal/linux"
	"berth/ociruntime/plan"
	"berth/ociruntime/program"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// IO is the daemon's side of a process's standard files. With a terminal only
// Console is set; without, Stdout and Stderr are, and Stdin if it was asked
// for. All are pollable. The keeper holds copies of all but Stdin, so that they
// outlive the daemon; standard input ends with the daemon that wrote to it.
// Reading Console ends in EIO once the last process has closed the terminal.
type IO struct {
	Console               *os.File
	Stdin, Stdout, Stderr *os.File
}

// Process is a container's init or a process added by Exec.
type Process struct {
	pid       int
	pidfd     *os.File // nil if it had ended before it could be opened
	keeper    *os.File // pidfd of the keeper
	keeperPid int
	child     *program.Started // nil if it is another process's
	io        IO
	notify    *os.File
	runDir    string

	done chan struct{} // closed once exit and err are set
	exit Exit
	err  error

	release sync.Once
	relErr  error
}

// Pid is the process's id in the host's pid namespace.
func (p *Process) Pid() int { return p.pid }

// IO returns the daemon's ends. They belong to the caller.
func (p *Process) IO() IO { return p.io }

// Wait returns when the process has ended and its keeper has recorded how. It
// may be called many times and concurrently.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.done:
		return p.exit, p.err
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// Keeper is the pid of the process that holds this one's files.
func (p *Process) Keeper() int { return p.keeperPid }

// Signal sends sig to the process through its pidfd; os.ErrProcessDone if it has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	if p.pidfd == nil {
		return os.ErrProcessDone
	}
	err := linux.PidfdSignal(p.pidfd, sig)
	if errors.Is(err, os.ErrClosed) { // released
		return os.ErrProcessDone
	}
	return err
}

// Resize sets the terminal's size in cells.
func (p *Process) Resize(width, height uint16) error {
	if p.io.Console == nil {
		return fmt.Errorf("resize terminal: the process has none")
	}
	return linux.SetWinsize(p.io.Console, width, height)
}

// Release ends the keeper once the caller has read the exit and all output.
// Until then the keeper holds the pipes and what is in them. A process that
// still runs is killed with its keeper. It may be repeated.
func (p *Process) Release() error {
	p.release.Do(func() {
		if err := linux.PidfdSignal(p.keeper, syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			p.relErr = fmt.Errorf("end keeper of %s: %w", p.runDir, err)
		}
		if p.child != nil {
			_, err := p.child.Wait()
			p.relErr = errors.Join(p.relErr, err)
		}
		<-p.done // the keeper's end of the pipe is closed now at the latest
		p.relErr = errors.Join(p.relErr, p.keeper.Close(), p.notify.Close())
		if p.pidfd != nil {
			p.relErr = errors.Join(p.relErr, p.pidfd.Close())
		}
	})
	return p.relErr
}

// watch waits for the keeper's word that the exit is recorded. Its goroutine
// ends when the keeper does; Release joins it.
func (p *Process) watch() {
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		// The end of the pipe means that the keeper is gone; what it recorded,
		// if anything, is in the file all the same. Nothing is read: a copy of
		// the pipe in another daemon sees the same.
		p.err = linux.WaitReadable(p.notify)
		if p.err != nil {
			return
		}
		p.exit, p.err = readExit(p.runDir)
		if errors.Is(p.err, os.ErrNotExist) {
			// Someone killed the keeper, and the kernel killed the process with it,
			// unless that is a setuid program or asked the kernel not to: nobody
			// would see its end.
			if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
				p.err = fmt.Errorf("kill process %d, whose keeper is gone: %w", p.pid, err)
				return
			}
			p.exit, p.err = Exit{Code: 128 + int(syscall.SIGKILL), Signal: syscall.SIGKILL, Finished: time.Now()}, nil
		}
	}()
}

// The keeper's records in the run directory, written by plan's keeper.go.
const (
	keeperFile = "keeper"
	exitFile   = "exit"
)

type keeperRecord struct {
	Keeper int `json:"keeper"`
	Init   int `json:"init"`
}

type exitRecord struct {
	Cause      int   `json:"cause"` // CLD_EXITED and so on, sigaction(2)
	Status     int   `json:"status"`
	Started    int64 `json:"started"`
	StartedNS  int64 `json:"started_ns"`
	Finished   int64 `json:"finished"`
	FinishedNS int64 `json:"finished_ns"`
}

func readRecord(dir, name string, to any) error {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(dir, name), err)
	}
	return nil
}

func readExit(dir string) (Exit, error) {
	var r exitRecord
	if err := readRecord(dir, exitFile, &r); err != nil {
		return Exit{}, err
	}
	const cldExited = 1
	e := Exit{Code: r.Status, Started: time.Unix(r.Started, r.StartedNS), Finished: time.Unix(r.Finished, r.FinishedNS)}
	if r.Cause != cldExited {
		e.Signal = syscall.Signal(r.Status)
		e.Code = 128 + r.Status
	}
	return e, nil
}

// stdio is the files of a process on both sides.
type stdio struct {
	io      IO
	null    *os.File
	notifyR *os.File
	notifyW *os.File
	runDir  *os.File
	ours    []*os.File // closed by abandon
	theirs  []*os.File // closed once the keeper has them
	inherit []*os.File // the keeper's descriptors 0, 1, ...
}

// newStdio opens what the keeper of the spec's process starts with; joins come last.
func newStdio(runDir string, spec *specs.Spec, openStdin bool, joins []*os.File) (s *stdio, err error) {
	s = &stdio{theirs: append([]*os.File{}, joins...)}
	defer func() {
		if err != nil {
			s.handedOver()
			s.abandon()
		}
	}()
	if s.null, err = linux.OpenNull(); err != nil {
		return s, err
	}
	s.theirs = append(s.theirs, s.null)
	if s.runDir, err = linux.OpenPath(runDir); err != nil {
		return s, err
	}
	s.theirs = append(s.theirs, s.runDir)
	if s.notifyR, s.notifyW, err = linux.Pipe(true, false); err != nil {
		return s, err
	}
	s.ours, s.theirs = append(s.ours, s.notifyR), append(s.theirs, s.notifyW)
	in, out, errw := s.null, s.null, s.null
	heldOut, heldErr := s.null, s.null
	if !spec.Process.Terminal {
		if openStdin {
			if in, s.io.Stdin, err = linux.Pipe(false, true); err != nil {
				return s, err
			}
			s.ours, s.theirs = append(s.ours, s.io.Stdin), append(s.theirs, in)
		}
		if s.io.Stdout, out, err = linux.Pipe(true, false); err != nil {
			return s, err
		}
		s.ours, s.theirs = append(s.ours, s.io.Stdout), append(s.theirs, out)
		if s.io.Stderr, errw, err = linux.Pipe(true, false); err != nil {
			return s, err
		}
		s.ours, s.theirs = append(s.ours, s.io.Stderr), append(s.theirs, errw)
		heldOut, heldErr = s.io.Stdout, s.io.Stderr
		if err := s.give(spec); err != nil {
			return s, err
		}
	}
	s.inherit = append([]*os.File{
		0: in, 1: out, 2: errw, plan.FDVerdict: nil, plan.FDRunDir: s.runDir, plan.FDNotifyR: s.notifyR, plan.FDNotifyW: s.notifyW,
		plan.FDStdin: s.null, plan.FDStdout: heldOut, plan.FDStderr: heldErr, plan.FDDevpts: s.null, plan.FDNull: s.null,
	}, joins...)
	return s, nil
}

// give makes the spec's user the owner of its pipes: opening /dev/stdout, which
// many images have a log file linked to, asks for the permissions of the pipe.
func (s *stdio) give(spec *specs.Spec) error {
	u := spec.Process.User
	uid, gid := plan.HostID(spec.Linux.UIDMappings, u.UID), plan.HostID(spec.Linux.GIDMappings, u.GID)
	for _, f := range []*os.File{s.io.Stdin, s.io.Stdout, s.io.Stderr} {
		if f == nil {
			continue
		}
		if err := f.Chown(int(uid), int(gid)); err != nil { // both ends are one inode
			return fmt.Errorf("give the pipes of its streams to the process's user: %w", err)
		}
	}
	return nil
}

// handedOver closes what only the keeper and the container need.
func (s *stdio) handedOver() {
	for _, f := range s.theirs {
		_ = f.Close() // only descriptors of ours; nothing is buffered
	}
}

// abandon closes our ends too.
func (s *stdio) abandon() {
	for _, f := range s.ours {
		_ = f.Close() // as above
	}
}
