package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"berth/internal/cleanup"
	"berth/internal/linux"
	"berth/ociruntime/cgroups"
	"berth/ociruntime/facts"
	"berth/ociruntime/plan"
	"berth/ociruntime/program"

	"github.com/containerd/errdefs"
)

// Start makes the container and starts its command. When it returns nil the
// command's execve has happened; when not, nothing is left behind. A failed
// step is a *StepError.
func (r *Runtime) Start(ctx context.Context, a Args) (_ *Container, err error) {
	var undo cleanup.Stack
	defer undo.Run(&err)
	in, err := r.input(a)
	if err != nil {
		return nil, err
	}
	given, err := a.given()
	if err != nil {
		return nil, err
	}
	c := &Container{runtime: r, id: a.ID, spec: a.Spec}
	var joins []*os.File
	if path := a.Spec.Linux.CgroupsPath; path != "" {
		if c.cgroup, err = cgroups.Create(ctx, path, a.Spec.Linux.Resources); err != nil {
			return nil, err
		}
		undo.Add(func() error { // the command may have run, and forked, before the start was cancelled
			late := context.WithoutCancel(ctx)
			return errors.Join(c.cgroup.Kill(late), c.cgroup.Delete(late))
		})
		facts.DescribeJoins(c.cgroup, c.cgroup.Joins(), &in)
		if joins, err = c.cgroup.OpenJoins(c.cgroup.Joins()); err != nil {
			return nil, err
		}
	}
	files, err := newStdio(a.RunDir, a.Spec, a.OpenStdin, joins)
	if err != nil {
		return nil, err
	}
	files.inherit = append(files.inherit, given...)
	prog, err := plan.Build(in)
	if err != nil {
		files.handedOver()
		files.abandon()
		return nil, err
	}
	if c.Process, err = launch(ctx, prog, a.ID, a.RunDir, a.Spec.Process.Terminal, files); err != nil {
		return nil, err
	}
	undo.Release()
	return c, nil
}

// Explain returns the plan, one step a line, grouped by stage. Nothing is made.
func (r *Runtime) Explain(a Args) (string, error) {
	in, err := r.input(a)
	if err != nil {
		return "", err
	}
	if path := a.Spec.Linux.CgroupsPath; path != "" {
		layout, err := cgroups.Detect()
		if err != nil {
			return "", err
		}
		at := layout.At(path)
		facts.DescribeJoins(at, at.Joins(), &in)
	}
	prog, err := plan.Build(in)
	if err != nil {
		return "", err
	}
	return prog.String(), nil
}

// input gathers the facts that a plan depends on.
func (r *Runtime) input(a Args) (plan.Input, error) {
	in := plan.Input{
		Spec: a.Spec, Rootfs: a.Rootfs, Width: a.ConsoleWidth, Height: a.ConsoleHeight,
		Pairs: a.Pairs, LastCap: r.lastCap, AttachedLayers: !r.detachedLayers, Keyring: "_ses." + a.ID,
		BindDevices: r.bindDevices,
	}
	if a.Spec.Process == nil || a.Spec.Linux == nil {
		return in, fmt.Errorf("the spec of container %s has no process or no linux section", a.ID)
	}
	if s := a.Spec.Linux.Seccomp; s != nil {
		f, err := r.filters.Compile(s, runtime.GOARCH)
		if err != nil {
			return in, fmt.Errorf("compile the seccomp profile: %w", err)
		}
		if f.Notifies() {
			return in, fmt.Errorf("the seccomp profile asks a listener (SCMP_ACT_NOTIFY), which is not supported here: berth-oci does it")
		}
		in.Filter, in.FilterFlags = f.Bytes(), uint64(f.Flags)
	}
	var err error
	in.NotDir, err = facts.Sources(a.Spec)
	return in, err
}

// keeperName is a keeper's argv[0]; argv[1] is the container's or exec's id.
const keeperName = "berth-keeper"

// launch starts a program and waits for its verdict.
func launch(ctx context.Context, prog *program.Program, id, runDir string, terminal bool, files *stdio) (_ *Process, err error) {
	started, err := prog.Start(program.StartArgs{Argv: []string{keeperName, id}, Files: files.inherit})
	files.handedOver()
	if err != nil {
		files.abandon()
		return nil, err
	}
	p := &Process{child: started, io: files.io, notify: files.notifyR, runDir: runDir}
	defer func() {
		if err != nil {
			killStarting(started.Pid, runDir)
			_, werr := started.Wait()
			err = errors.Join(err, werr)
			files.abandon()
			removeRecords(runDir)
		}
	}()
	// A step can wait for long, for a file system on the network say.
	stop := context.AfterFunc(ctx, func() {
		killStarting(started.Pid, runDir)
		started.GiveUp()
	})
	verdict := started.Verdict()
	if !stop() {
		return nil, fmt.Errorf("start %s: %w", id, context.Cause(ctx))
	}
	if err := verdict; err != nil {
		var f *program.Failure
		if errors.As(err, &f) {
			return nil, &StepError{Step: f.Step.Name, Errno: f.Errno, Remedy: f.Step.Remedy, Exec: f.Step.Exec}
		}
		return nil, err
	}
	if err := p.open(started.Pid, terminal); err != nil {
		return nil, err
	}
	return p, nil
}

// killStarting kills a keeper that is not yet reaped, and its child. The child
// dies with the keeper, but not at every moment: the kernel forgets that when
// ids change. So it comes first if it is on record; if not, it waits for its
// ids and is still in the keeper's process group.
func killStarting(keeper int, runDir string) {
	var rec keeperRecord
	if readRecord(runDir, keeperFile, &rec) == nil {
		if init, err := openChild(rec.Init, keeper); err == nil {
			_ = linux.PidfdSignal(init, syscall.SIGKILL) // it may have ended
			_ = init.Close()                             // nothing was written
		}
	}
	_ = syscall.Kill(-keeper, syscall.SIGKILL) // both may have ended
}

// openChild opens a child of a keeper by its number, which may be another
// process's once the keeper has reaped it: then it is os.ErrProcessDone.
func openChild(pid, keeper int) (*os.File, error) {
	pidfd, err := linux.PidfdOpen(pid)
	if err != nil {
		return nil, err
	}
	// Asked after the opening: whoever has the number now had it then, or its
	// owner then is dead and cannot be hit.
	if parent, err := linux.Parent(pid); err != nil || parent != keeper {
		return nil, errors.Join(os.ErrProcessDone, pidfd.Close())
	}
	return pidfd, nil
}

// open finds the processes behind the keeper's record.
func (p *Process) open(keeper int, terminal bool) (err error) {
	var undo cleanup.Stack
	defer undo.Run(&err)
	if p.keeper, err = linux.PidfdOpen(keeper); err != nil {
		return fmt.Errorf("open keeper %d: %w", keeper, err)
	}
	undo.Add(p.keeper.Close)
	var rec keeperRecord
	if err := readRecord(p.runDir, keeperFile, &rec); err != nil {
		return err
	}
	p.pid, p.keeperPid = rec.Init, keeper
	switch pidfd, err := openChild(rec.Init, keeper); {
	case err == nil:
		p.pidfd = pidfd
		undo.Add(pidfd.Close)
	case !errors.Is(err, os.ErrProcessDone):
		return fmt.Errorf("open init %d: %w", rec.Init, err)
	}
	if terminal {
		if p.io.Console, err = linux.PidfdGetfd(p.keeper, plan.FDStdin, "console", true); err != nil {
			return fmt.Errorf("get the terminal from keeper %d: %w", keeper, err)
		}
	}
	undo.Release()
	p.watch()
	return nil
}

// removeRecords removes what a failed start wrote.
func removeRecords(dir string) {
	for _, name := range []string{keeperFile, exitFile, keeperFile + ".new", exitFile + ".new"} {
		_ = os.Remove(dir + "/" + name) // most do not exist; the caller removes the directory
	}
}

// Delete kills what is left, ends the keeper and removes the container's
// cgroup. It may be repeated.
func (c *Container) Delete(ctx context.Context) error {
	err := c.Signal(syscall.SIGKILL)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	err = errors.Join(err, c.Release())
	removeRecords(c.runDir)
	if c.cgroup == nil {
		return err
	}
	return errors.Join(err, c.cgroup.Kill(ctx), c.cgroup.Delete(ctx))
}

func noCgroup(what string) error {
	return errdefs.ErrFailedPrecondition.WithMessage(what + ": the container has no cgroup, as berthd is an ordinary user's: run berth as root for this")
}

// Pause freezes every process of the container.
func (c *Container) Pause(ctx context.Context) error {
	if c.cgroup == nil {
		return noCgroup("pause")
	}
	return c.cgroup.Pause(ctx)
}

// Resume undoes Pause.
func (c *Container) Resume(ctx context.Context) error {
	if c.cgroup == nil {
		return noCgroup("resume")
	}
	return c.cgroup.Resume(ctx)
}
