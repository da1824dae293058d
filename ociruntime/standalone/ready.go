package standalone

import (
	"errors"
	"os"

	"berth/internal/linux"
	"berth/ociruntime/sdnotify"
)

// awaitReady waits until a container that this process leaves says that it is
// ready, or has ended. That it cannot be passed on ends no container: it runs.
func (r *Runtime) awaitReady(notify *sdnotify.Socket, pid int) error {
	if notify == nil {
		return nil
	}
	process, err := linux.PidfdOpen(pid)
	if err == nil {
		err = notify.ForwardUntil(process, pid)
	}
	err = errors.Join(err, notify.Close())
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.warn(err.Error())
	}
	return nil
}

// passReady does it beside the wait for a container's end: the service's main
// process stays this one. stop ends it.
func (r *Runtime) passReady(notify *sdnotify.Socket) (stop func()) {
	if notify == nil {
		return func() {}
	}
	done := make(chan error, 1)
	go func() { done <- notify.Forward(os.Getpid()) }()
	return func() {
		if err := errors.Join(notify.End(), <-done, notify.Close()); err != nil {
			r.warn(err.Error())
		}
	}
}
