package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"berth/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Who does what when a rule notifies (SCMP_ACT_NOTIFY), in order of time:
//
//	runtime                                 process
//	DialAgent
//	makes a pair of sockets, one for each
//	                                        seccomp(2): the number of its listener
//	                                        writes the number, 8 bytes
//	TakeListener: copies that file
//	writes 8 bytes                          reads them, closes its listener
//	Agent.Send                              goes on under the filter
//
// From seccomp(2) on every call of the process may wait for the agent, which has
// the listener only at the end. So the process may do nothing before it has
// written but write, which a profile may not notify; and the runtime takes the
// file by pidfd_getfd(2), as runc does, where sending it takes sendmsg(2).

// Notifies reports that the filter asks a listener.
func (f Filter) Notifies() bool { return f.Flags&FlagNewListener != 0 }

// Agent is who answers for the calls of a container's processes that notify.
type Agent struct {
	socket *os.File
	path   string
}

// DialAgent connects to the socket at a profile's listenerPath. It comes before
// anything is made: without an agent there is no container.
func DialAgent(path string) (*Agent, error) {
	socket, err := linux.DialUnix(path)
	if err != nil {
		return nil, fmt.Errorf("connect to the seccomp agent, linux.seccomp.listenerPath: %w: start the agent first", err)
	}
	return &Agent{socket, path}, nil
}

// Send hands over the listener and says whose it is, and ends the connection,
// which is for one process only (config-linux.md, "Seccomp").
func (a *Agent) Send(listener *os.File, s specs.ContainerProcessState) error {
	b, err := json.Marshal(s)
	if err == nil {
		err = linux.SendFile(a.socket, string(b), listener)
	}
	if err = errors.Join(err, a.Close()); err != nil {
		return fmt.Errorf("send the listener to the seccomp agent at %s: %w", a.path, err)
	}
	return nil
}

// Close ends the connection; after Send it does nothing.
func (a *Agent) Close() error {
	if err := a.socket.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// ProcessState is what an agent is told of a process: the container's state,
// the process's id as the runtime sees it, and the profile's listenerMetadata.
// The status is creating for the container's first process, running for others.
func ProcessState(state specs.State, pid int, metadata string) specs.ContainerProcessState {
	return specs.ContainerProcessState{
		Version:  specs.Version,
		Fds:      []string{specs.SeccompFdName},
		Pid:      pid,
		Metadata: metadata,
		State:    state,
	}
}

// TakeListener copies the listener of the process that pidfd stands for, when it
// has written its number to the other end of socket, and lets the process go on.
// io.EOF: the process ended before.
func TakeListener(socket, pidfd *os.File) (*os.File, error) {
	var word [8]byte
	if _, err := io.ReadFull(socket, word[:]); err != nil {
		return nil, fmt.Errorf("wait for the seccomp listener: %w", err)
	}
	// An int in the kernel's byte order, as seccomp(2) returns it.
	number := int(int32(uint32(word[0]) | uint32(word[1])<<8 | uint32(word[2])<<16 | uint32(word[3])<<24))
	listener, err := linux.PidfdGetfd(pidfd, number, "seccomp listener", false)
	if err != nil {
		return nil, fmt.Errorf("take the seccomp listener, file %d of the process: %w", number, err)
	}
	if _, err := socket.Write(word[:]); err != nil {
		return nil, errors.Join(fmt.Errorf("let the process go on: %w", err), listener.Close())
	}
	return listener, nil
}
