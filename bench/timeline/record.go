package timeline

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// events are what the kernel records.
var events = []string{
	"syscalls", "exceptions", "sched/sched_switch", "sched/sched_process_fork", "sched/sched_process_exec", "sched/sched_process_exit",
}

// Tracer records commands. There may be several. It works in the mount namespace
// of the thread that opened it.
type Tracer struct {
	dir      string // where the tracing file system is mounted
	instance string
}

// Open mounts the tracing file system at dir, an empty directory, and prepares a
// buffer of its own there. A kernel that cannot record is an error that says so.
// The caller closes it.
func Open(dir string) (_ *Tracer, err error) {
	if err := syscall.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
		return nil, fmt.Errorf("mount the tracing file system: %w", err)
	}
	t := &Tracer{dir: dir, instance: filepath.Join(dir, "instances", "berth-bench-"+strconv.Itoa(os.Getpid()))}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if err := os.Mkdir(t.instance, 0o700); err != nil {
		return nil, err
	}
	settings := [][2]string{{"tracing_on", "0"}, {"options/event-fork", "1"}, {"buffer_size_kb", "8192"}}
	for _, e := range events {
		settings = append(settings, [2]string{"events/" + e + "/enable", "1"})
	}
	for _, s := range settings {
		if err := t.set(s[0], s[1]); err != nil {
			return nil, fmt.Errorf("the kernel cannot record system calls (CONFIG_FTRACE_SYSCALLS): %w", err)
		}
	}
	return t, nil
}

func (t *Tracer) set(name, value string) error {
	return os.WriteFile(filepath.Join(t.instance, name), []byte(value), 0)
}

// Record runs cmd and returns what it and its descendants did.
func (t *Tracer) Record(cmd *exec.Cmd) (Record, error) {
	// The kernel follows who is started by this thread, and by those.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	self := syscall.Gettid()
	if err := errors.Join(t.set("trace", ""), t.set("set_event_pid", strconv.Itoa(self)), t.set("tracing_on", "1")); err != nil {
		return Record{}, err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", cmd.Args[0], err, out)
	}
	if err := errors.Join(err, t.set("tracing_on", "0")); err != nil {
		return Record{}, err
	}
	f, err := os.Open(filepath.Join(t.instance, "trace"))
	if err != nil {
		return Record{}, err
	}
	r, err := Parse(f)
	return r.Below(self), errors.Join(err, f.Close())
}

// Close undoes Open.
func (t *Tracer) Close() error {
	err := os.Remove(t.instance)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, syscall.Unmount(t.dir, syscall.MNT_DETACH))
}
