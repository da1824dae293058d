package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"berth/internal/linux"
	"berth/ociruntime/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Init is a container's first process as it was found.
type Init struct {
	// Pid is its number on the host; 0 if there is none, or no more.
	Pid int
	// Status is creating, created, running or stopped. Paused is the cgroup's to say.
	Status specs.ContainerState
}

// Init finds the container's process and what it does.
func (d *Dir) Init() (Init, error) {
	b, err := os.ReadFile(d.path + "/" + plan.InitFile)
	if errors.Is(err, fs.ErrNotExist) {
		// Its maker is at work and holds the lock, or is gone.
		if other, err := openDir(d.path); err == nil {
			err = flock(other.file, syscall.LOCK_SH|syscall.LOCK_NB)
			_ = other.Close() // nothing was written
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return Init{Status: specs.StateCreating}, nil
			}
		}
		return Init{Status: specs.StateStopped}, nil
	}
	if err != nil {
		return Init{}, err
	}
	rec, err := decodeInit(b)
	if err != nil {
		return Init{}, fmt.Errorf("read %s/%s: %w", d.path, plan.InitFile, err)
	}
	p, err := linux.ReadProcess(rec.Pid)
	if errors.Is(err, os.ErrProcessDone) || err == nil && (p.Ended || p.After(rec.Seconds, rec.Nanoseconds)) {
		return Init{Status: specs.StateStopped}, nil
	}
	if err != nil {
		return Init{}, err
	}
	in := Init{Pid: rec.Pid, Status: specs.StateRunning}
	if isProgram(rec.Pid) {
		in.Status = specs.StateCreating
		if _, err := os.Lstat(d.path + "/" + startedFile); err == nil {
			in.Status = specs.StateCreated
		}
	}
	return in, nil
}

// isProgram says whether a process still runs the program that makes containers.
func isProgram(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if errors.Is(err, fs.ErrPermission) {
		// Without root: the program is closed to all but root, the command is open
		// to the owner of its user namespace (ptrace(2), PTRACE_MODE_READ).
		return true
	}
	return err == nil && strings.HasPrefix(exe, "/memfd:berth")
}

// OpenInit opens the container's process; os.ErrProcessDone if it has ended.
func (d *Dir) OpenInit() (pidfd *os.File, in Init, err error) {
	if in, err = d.Init(); err != nil {
		return nil, in, err
	}
	if in.Pid == 0 {
		return nil, in, os.ErrProcessDone
	}
	if pidfd, err = linux.PidfdOpen(in.Pid); err != nil {
		return nil, in, err
	}
	// Looked at again: the number may have become another's before it was opened.
	if again, err := d.Init(); err != nil || again.Pid == 0 {
		return nil, again, errors.Join(os.ErrProcessDone, err, pidfd.Close())
	}
	return pidfd, in, nil
}

// Fifos opens the FIFOs of a container that is being made, for its init.
func (d *Dir) Fifos() (start, started *os.File, err error) {
	// For reading and writing: that waits for nobody (fifo(7)).
	if start, err = openFifo(d.path+"/"+startFile, syscall.O_RDWR); err != nil {
		return nil, nil, err
	}
	if started, err = openFifo(d.path+"/"+startedFile+unfinished, syscall.O_RDWR); err != nil {
		return nil, nil, errors.Join(err, start.Close())
	}
	return start, started, nil
}

// Finished says that the container is created.
func (d *Dir) Finished() error {
	return os.Rename(d.path+"/"+startedFile+unfinished, d.path+"/"+startedFile)
}

// Start lets the waiting init go on. The reader ends when the command runs;
// before that comes a verdict if something fails.
func (d *Dir) Start() (io.ReadCloser, error) {
	started, err := openFifo(d.path+"/"+startedFile, syscall.O_RDONLY|syscall.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if err := syscall.SetNonblock(int(started.Fd()), false); err != nil {
		return nil, errors.Join(err, started.Close())
	}
	start, err := openFifo(d.path+"/"+startFile, syscall.O_WRONLY|syscall.O_NONBLOCK)
	if err != nil { // ENXIO: nobody waits
		return nil, errors.Join(err, started.Close())
	}
	_, err = start.Write([]byte{1})
	if err = errors.Join(err, start.Close()); err != nil {
		return nil, errors.Join(err, started.Close())
	}
	return started, nil
}

func openFifo(path string, flags int) (*os.File, error) {
	fd, err := syscall.Open(path, flags|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Restored writes down the container's process, which no builder has.
func (d *Dir) Restored(pid int) error {
	now, err := linux.Boottime()
	if err != nil {
		return err
	}
	doc := fmt.Sprintf("{\"pid\":%d,\"seconds\":%d,\"nanoseconds\":%d}", pid, now/1e9, now%1e9)
	return os.WriteFile(d.path+"/"+plan.InitFile, []byte(doc), 0o600)
}
