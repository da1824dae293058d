package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// given are the caller's files that the keeper starts with after its own, in plan's order.
func (a Args) given() ([]*os.File, error) {
	var files []*os.File
	for _, n := range plan.Joined(a.Spec) {
		f := a.Namespaces[n.Type]
		if f == nil {
			return nil, fmt.Errorf("join the %s namespace %s: no file of it was given", n.Type, n.Path)
		}
		files = append(files, f)
	}
	if filled := plan.CopyUps(a.Spec); len(filled) != len(a.Tmpfs) {
		return nil, fmt.Errorf("the spec of container %s has %d tmpfs with option tmpcopyup, but %d were made", a.ID, len(filled), len(a.Tmpfs))
	}
	return append(files, a.Tmpfs...), nil
}

// namespaceFiles are their names below /proc/PID/ns (namespaces(7)).
var namespaceFiles = map[specs.LinuxNamespaceType]string{
	specs.UserNamespace: "user", specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.MountNamespace: "mnt",
}

// NamespacePath is where the process's namespace of a kind is found while it lives.
func (p *Process) NamespacePath(kind specs.LinuxNamespaceType) string {
	return fmt.Sprintf("/proc/%d/ns/%s", p.pid, namespaceFiles[kind])
}

// OpenNamespace opens the namespace of a kind that the process is in, be it its own
// or not. os.ErrProcessDone if it has ended.
func (p *Process) OpenNamespace(kind specs.LinuxNamespaceType) (*os.File, error) {
	f, err := os.Open(p.NamespacePath(kind))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, os.ErrProcessDone
	}
	if err != nil {
		return nil, err
	}
	// Asked after the opening: while the keeper has not reaped it, its number is
	// nobody else's.
	if err := p.Signal(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// CloneShm returns a detached copy of the mount that the process sees at /dev/shm.
// os.ErrProcessDone if it has ended.
func (p *Process) CloneShm() (*os.File, error) {
	mounts, err := p.OpenNamespace(specs.MountNamespace)
	if err != nil {
		return nil, err
	}
	shm, err := linux.CloneMountIn(mounts, "/dev/shm")
	return shm, errors.Join(err, mounts.Close())
}
