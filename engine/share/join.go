package share

import (
	"errors"
	"fmt"
	"os"

	"berth/container"
	"berth/internal/cleanup"
	"berth/ociruntime/lifecycle"
	"berth/spec"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Running is a container that runs.
type Running struct {
	Record  container.Record
	Process *lifecycle.Process
	Spec    *specs.Spec
}

// Joined is what a container that is about to start shares.
type Joined struct {
	// Record is the container's, as a spec is to be made of it: Slot is the id range
	// that it has for this run, its own or the other's.
	Record container.Record
	// Paths name the namespaces to join, Files are they.
	Paths map[specs.LinuxNamespaceType]string
	Files map[specs.LinuxNamespaceType]*os.File
	// Shm is a copy of the other's mount at /dev/shm, none without --ipc container:.
	Shm []*os.File

	others []Running
	users  os.FileInfo // the user namespace in which all of it is
	whose  string      // the container that it is of
}

// Join opens what a container shares with others. running is of class Conflict
// for one that does not run. Close follows.
func Join(rec container.Record, running func(id string) (Running, error)) (_ *Joined, err error) {
	var undo cleanup.Stack
	defer undo.Run(&err)
	host := *rec.HostConfig
	rec.HostConfig = &host
	j := &Joined{Record: rec, Paths: map[specs.LinuxNamespaceType]string{}, Files: map[specs.LinuxNamespaceType]*os.File{}}
	undo.Add(j.Close)
	for _, k := range kinds(&host) {
		id, ok := k.other()
		if !ok {
			continue
		}
		o, err := running(id)
		if errdefs.IsConflict(err) {
			return nil, conflict("cannot join %s of a non running container: %s: start it first", k.word, short(id))
		}
		if err != nil {
			return nil, err
		}
		err = j.join(k, o)
		if errors.Is(err, os.ErrProcessDone) {
			return nil, conflict("cannot join %s of a non running container: %s has just ended: start it first", k.word, o.Record.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("join %s of container %s: %w", k.word, o.Record.Name, err)
		}
	}
	undo.Release()
	return j, nil
}

// join opens one namespace of a running container.
func (j *Joined) join(k kind, o Running) (err error) {
	own := has(o.Spec, k.name)
	j.others = append(j.others, o)
	if k.name == specs.NetworkNamespace {
		j.takeNames(o)
	}
	if k.name == specs.IPCNamespace {
		if mode := o.Record.HostConfig.IpcMode; own && !mode.IsShareable() && !mode.IsContainer() {
			return invalid("non-shareable IPC: make it with --ipc shareable")
		}
	}
	if !own { // the host's, which it shares itself
		k.set("host")
		return nil
	}
	if k.name == specs.IPCNamespace {
		shm, err := o.Process.CloneShm()
		if err != nil {
			return err
		}
		j.Shm = append(j.Shm, shm)
	}
	if err := j.open(k.name, o.Process); err != nil {
		return err
	}
	if !spec.OwnIDs(j.Record.HostConfig) {
		return nil // the host's root has all rights there
	}
	return j.joinUsers(o)
}

// takeNames takes the other's host name: it is part of its hosts file.
func (j *Joined) takeNames(o Running) {
	if j.Record.HostConfig.UTSMode.IsHost() {
		return
	}
	config := *j.Record.Config
	config.Hostname, config.Domainname = o.Spec.Hostname, o.Spec.Domainname
	j.Record.Config = &config
}

// joinUsers opens the other's user namespace. A process has one only.
func (j *Joined) joinUsers(o Running) error {
	if !has(o.Spec, specs.UserNamespace) {
		return conflict("it has the host's user ids (--userns host, --privileged), so that the container would need them too: add --userns host")
	}
	if j.Files[specs.UserNamespace] == nil {
		if err := j.open(specs.UserNamespace, o.Process); err != nil {
			return err
		}
		users, err := j.Files[specs.UserNamespace].Stat()
		if err != nil {
			return err
		}
		j.users, j.whose = users, o.Record.Name
		if j.Record.Slot = Slot(o.Spec); j.Record.Slot == container.NoSlot {
			return fmt.Errorf("its user ids are no range of berth's: %w", errdefs.ErrDataLoss)
		}
		return nil
	}
	f, err := o.Process.OpenNamespace(specs.UserNamespace)
	if err != nil {
		return err
	}
	users, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if !os.SameFile(users, j.users) {
		return conflict("its user ids are others than those of container %s, and a container can have those of one only: share all with the same container, or add --userns host", j.whose)
	}
	return nil
}

// Slot is the id range of a container that runs with this spec, or NoSlot.
func Slot(s *specs.Spec) int {
	if ids := s.Linux.UIDMappings; len(ids) == 1 {
		return container.SlotOf(ids[0].HostID)
	}
	return container.NoSlot
}

func (j *Joined) open(kind specs.LinuxNamespaceType, p *lifecycle.Process) error {
	f, err := p.OpenNamespace(kind)
	if err != nil {
		return err
	}
	j.Files[kind], j.Paths[kind] = f, p.NamespacePath(kind)
	return nil
}

// StillRunning checks that all the others run as they did.
func (j *Joined) StillRunning(running func(id string) (Running, error)) error {
	for _, o := range j.others {
		now, err := running(o.Record.ID)
		if err != nil || now.Process != o.Process {
			return conflict("container %s, which this one shares with, has just ended: start it first", o.Record.Name)
		}
	}
	return nil
}

// Close lets go of the files. The container that was started has them.
func (j *Joined) Close() error {
	var err error
	for _, f := range j.Files {
		err = errors.Join(err, f.Close())
	}
	for _, f := range j.Shm {
		err = errors.Join(err, f.Close())
	}
	return err
}

func has(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type == kind {
			return true
		}
	}
	return false
}

func short(id string) string { return id[:min(12, len(id))] }
