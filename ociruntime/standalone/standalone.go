// Package standalone makes and runs containers that no daemon owns: what the
// runc command line asks for. A container is a directory of the state room; its
// init is handed over to whoever called, or to that one's reaper.
//
// Level: R.
// Owns: the order of create, start, exec, kill and delete of such containers.
// May import: ociruntime subrooms, internal/linux, internal/cleanup, internal/atomicfile.
// Must not know: command lines, images, the Docker API, the engine.
package standalone

import (
	"os"
	"time"

	"berth/internal/linux"
	"berth/ociruntime/state"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Options say where and how a Runtime works.
type Options struct {
	// Root is the directory of all containers' states, such as /run/berth-oci.
	Root string
	// SystemdCgroup: linux.cgroupsPath is "slice:prefix:name" and systemd makes the cgroup.
	SystemdCgroup bool
	// NotifySocket is the caller's $NOTIFY_SOCKET, if it is a service that tells
	// systemd when it is ready: the container's process tells it.
	NotifySocket string
	// Warn takes what the user should know and what ends nothing. It may be nil.
	Warn func(text string)
}

// Runtime runs the commands. It is safe for concurrent use, by several
// processes too.
type Runtime struct {
	Options
	store state.Store
	// rootless: this process is no root.
	rootless bool
}

// ProcessArgs are what a container's first process and an exec have in common.
type ProcessArgs struct {
	// PidFile, if set, gets the pid of the process, in one rename.
	PidFile string
	// ConsoleSocket, if set, is a unix socket that gets the terminal's master.
	ConsoleSocket string
	// PidfdSocket, if set, is a unix socket that gets a pidfd of the process.
	PidfdSocket string
	// PreserveFDs: descriptors 3 to 3+PreserveFDs-1 of this process are the new one's too.
	PreserveFDs int
	// Detach: do not wait for the process.
	Detach bool
	// NoNewKeyring leaves the process the session keyring of the caller.
	NoNewKeyring bool
}

// CreateArgs say what to make.
type CreateArgs struct {
	ProcessArgs
	// ID names the container.
	ID string
	// Bundle is the directory of config.json.
	Bundle string
	// ListenFDs: so many descriptors from 3 on are sockets that somebody listens on
	// for the process (sd_listen_fds(3)). PreserveFDs counts those after them.
	ListenFDs int
	// NoPivot: for a root on the initramfs, where pivot_root(2) does not work.
	NoPivot bool
	// Keep: Run leaves the stopped container's state.
	Keep bool
}

// ExecArgs say what to run in a container.
type ExecArgs struct {
	ProcessArgs
	// Process says what to run.
	Process *specs.Process
	// Cgroup is the cgroup to run in, below the container's: "path", or "controller[,controller]:path" (v1).
	Cgroup []string
	// IgnorePaused: exec in a paused container too; it will wait.
	IgnorePaused bool
}

// State is the document that the command state prints: the OCI runtime spec's,
// with what runc adds.
type State struct {
	specs.State
	Rootfs  string    `json:"rootfs"`
	Created time.Time `json:"created"`
	Owner   string    `json:"owner"`
}

// Open returns the runtime of a state directory, which need not exist yet.
func Open(o Options) (*Runtime, error) {
	if err := linux.CheckKernel(); err != nil {
		return nil, err
	}
	return &Runtime{Options: o, store: state.Store{Root: o.Root}, rootless: os.Geteuid() != 0}, nil
}
