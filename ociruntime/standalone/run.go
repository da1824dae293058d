package standalone

import (
	"context"
	"errors"
	"syscall"

	"berth/internal/linux"
	"berth/internal/linux/signals"
	"berth/ociruntime/console"
	"berth/ociruntime/state"
)

// Run is Create and Start, and unless detached also the wait for the end, with
// signals forwarded, and Delete. code is what the command exited with, 128+n for signal n.
func (r *Runtime) Run(ctx context.Context, a CreateArgs) (code int, err error) {
	caught, err := catch(a.Detach)
	if err != nil {
		return 0, err
	}
	m, err := r.make(ctx, a, false)
	if err != nil {
		return 0, err
	}
	defer m.files.close()
	rec := state.Record{ID: a.ID, Bundle: m.args.Bundle, Command: m.spec.Process.Args[0], Later: m.prog.Later()}
	if m.in.Handover.Wait {
		err = run(ctx, m.dir, rec, m.spec, m.pid)
	} else {
		err = startedHooks(ctx, rec, m.spec, m.pid)
	}
	if err = errors.Join(err, m.dir.Close()); err != nil {
		return 0, errors.Join(err, r.Delete(context.WithoutCancel(ctx), a.ID, true))
	}
	if a.Detach {
		return 0, r.awaitReady(m.notify, m.pid)
	}
	stop := r.passReady(m.notify)
	code, err = attend(ctx, caught, m.pid, &m.files)
	stop()
	if a.Keep {
		return code, err
	}
	if err != nil { // how far it came is not known
		return code, errors.Join(err, r.Delete(context.WithoutCancel(ctx), a.ID, true))
	}
	return code, r.deleteEnded(context.WithoutCancel(ctx), m)
}

// catch begins to keep signals for a child that is to be attended, until this
// process ends, which is soon. It comes before the child: a signal that arrives as
// soon as the command runs is the command's.
func catch(detached bool) (*signals.Caught, error) {
	if detached {
		return nil, nil //nolint:nilnil // nobody attends
	}
	return signals.Catch()
}

// attend forwards signals and the terminal until a child of ours ends.
func attend(ctx context.Context, caught *signals.Caught, pid int, files *inherited) (code int, err error) {
	var term *console.Terminal
	if files.terminal != nil {
		if term, err = console.Attach(files.terminal); err != nil {
			return 0, errors.Join(err, reap(pid))
		}
		defer func() { err = errors.Join(err, term.Close()) }()
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // our child, not yet reaped
	err = caught.AwaitChild(pid, func(s syscall.Signal) { forward(pid, s, term) })
	stop()
	if err != nil {
		return 0, err
	}
	status, err := linux.WaitChild(pid)
	if status.Signaled() {
		return 128 + int(status.Signal()), err
	}
	return status.ExitStatus(), err
}

// forward passes a signal of ours on.
func forward(pid int, s syscall.Signal, term *console.Terminal) {
	if s == syscall.SIGWINCH && term != nil {
		term.Resize()
		return
	}
	_ = syscall.Kill(pid, s) // it may have ended
}
