package standalone

import (
	"errors"
	"fmt"
	"io"

	"berth/internal/linux"
	"berth/ociruntime/plan"
	"berth/ociruntime/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// seccomp prepares for a filter that asks a listener: it connects to the agent
// that answers, before anything is made.
func (f *inherited) seccomp(in plan.Input, s *specs.Spec) (err error) {
	if in.FilterFlags&linux.SeccompNewListener == 0 {
		return nil
	}
	if f.agent, err = seccomp.DialAgent(s.Linux.Seccomp.ListenerPath); err != nil {
		return err
	}
	ours, theirs, err := linux.Socketpair()
	if err != nil {
		return err
	}
	f.filter, f.list[plan.FDSeccomp] = ours, f.own(theirs)
	return nil
}

// listener hands the listener of a new process to the agent. io.EOF: the process
// has ended before, and its verdict may say why.
func (f *inherited) listener(pid int, s *specs.Spec, state specs.State) (err error) {
	if f.agent == nil {
		return nil
	}
	pidfd, err := linux.PidfdOpen(pid)
	if err != nil {
		return err
	}
	listener, err := seccomp.TakeListener(f.filter, pidfd)
	if err = errors.Join(err, pidfd.Close()); errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the process has ended: the seccomp profile must let write and read pass", err)
	}
	if err != nil {
		return err
	}
	err = f.agent.Send(listener, seccomp.ProcessState(state, pid, s.Linux.Seccomp.ListenerMetadata))
	if err = errors.Join(err, listener.Close()); err != nil {
		return fmt.Errorf("hand over the seccomp listener: %w", err)
	}
	return nil
}
