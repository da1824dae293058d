package standalone

import (
	"errors"
	"fmt"
	"io"
	"os"

	"berth/internal/linux"
	"berth/ociruntime/plan"
	"berth/ociruntime/program"
	"berth/ociruntime/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// notifying is the caller's part for a filter that asks an agent.
type notifying struct {
	agent  *seccomp.Agent
	socket *os.File // other end of plan.FDAgent
	tell   func(pid int) specs.ContainerProcessState
}

// notify connects to the agent if the filter asks one. The state is what the
// agent is told of the container; without a pid it is the process's own.
func (f *inherited) notify(in *plan.Input, spec *specs.Spec, state specs.State) error {
	if in.FilterFlags&uint64(seccomp.FlagNewListener) == 0 {
		return nil
	}
	profile := spec.Linux.Seccomp
	agent, err := seccomp.DialAgent(profile.ListenerPath)
	if err != nil {
		return err
	}
	ours, theirs, err := linux.Socketpair()
	if err != nil {
		return errors.Join(err, agent.Close())
	}
	f.list[plan.FDAgent] = f.own(theirs)
	state.Version, state.Annotations = specs.Version, spec.Annotations
	f.notifying = &notifying{agent, ours, func(pid int) specs.ContainerProcessState {
		if state.Pid == 0 {
			state.Pid = pid
		}
		return seccomp.ProcessState(state, pid, profile.ListenerMetadata)
	}}
	return nil
}

// verdict waits for the program's verdict, and hands the listener over meanwhile.
func (f *inherited) verdict(pid int, started *program.Started) error {
	n := f.notifying
	if n == nil {
		return started.Verdict()
	}
	handed := make(chan error, 1)
	go func() { // joined below
		err := n.handOver(pid)
		if err != nil && !errors.Is(err, io.EOF) {
			started.GiveUp()
		}
		handed <- err
	}()
	verdict := started.Verdict()
	_ = n.socket.Close() // the process has nothing more to say
	err := <-handed
	switch {
	case err != nil && verdict == nil && errors.Is(err, io.EOF):
		// A verdict takes a write too.
		return fmt.Errorf("%w: the process has ended: the seccomp profile must let write and read pass", err)
	case err != nil && (verdict == nil || errors.Is(verdict, os.ErrDeadlineExceeded)):
		return err
	}
	return verdict
}

func (n *notifying) handOver(pid int) error {
	pidfd, err := linux.PidfdOpen(pid) // our child, whom nobody has reaped
	if err != nil {
		return err
	}
	listener, err := seccomp.TakeListener(n.socket, pidfd)
	if err == nil {
		err = errors.Join(n.agent.Send(listener, n.tell(pid)), listener.Close())
	}
	return errors.Join(err, pidfd.Close())
}

func (n *notifying) close() {
	_ = errors.Join(n.agent.Close(), n.socket.Close()) // both may be closed
}
