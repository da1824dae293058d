package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"berth/internal/fault"
	"berth/internal/linux"
	"berth/ociruntime/plan"
	"berth/ociruntime/program"
	"berth/ociruntime/seccomp"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// inherited are the files that a builder starts with, and their other ends.
type inherited struct {
	list  []*os.File // by their numbers there; nil: closed
	owned []*os.File // to be closed here once it has them
	hooks *os.File   // other end of plan.FDHooks
	// terminal is the other end of plan.FDConsole, when the caller has no socket for it.
	terminal *os.File
	// agent answers for a filter that asks a listener; filter is the other end of plan.FDSeccomp.
	agent  *seccomp.Agent
	filter *os.File
}

// own notes a file that handOver closes.
func (f *inherited) own(file *os.File) *os.File {
	f.owned = append(f.owned, file)
	return file
}

// handOver closes what the builder has now.
func (f *inherited) handOver() {
	for _, file := range f.owned {
		_ = file.Close() // nothing was written
	}
	f.owned = nil
}

// close closes our ends too.
func (f *inherited) close() {
	f.handOver()
	if f.agent != nil {
		_ = f.agent.Close() // it has what it gets
	}
	for _, file := range []*os.File{f.hooks, f.terminal, f.filter} {
		if file != nil {
			_ = file.Close() // nobody listens any more
		}
	}
	f.hooks, f.terminal, f.filter, f.agent = nil, nil, nil, nil
}

// standard gives the process the caller's standard files, or none where its
// terminal takes their place.
func (f *inherited) standard(terminal bool) {
	f.list = make([]*os.File, plan.FDFirstJoin)
	if !terminal {
		f.list[0], f.list[1], f.list[2] = os.Stdin, os.Stdout, os.Stderr
	}
}

// console connects to the caller's socket, or makes one of our own. Who holds
// the terminal must outlive this process if that does not stay.
func (f *inherited) console(terminal, detach bool, path string) error {
	switch {
	case terminal && detach && path == "":
		return fault.Errorf(errdefs.ErrInvalidArgument, "process.terminal is set, but nobody would hold the terminal: give --console-socket, or run without --detach")
	case terminal && !detach && path != "":
		return fault.Errorf(errdefs.ErrInvalidArgument, "console socket %s: the terminal is this one while the process is waited for: detach, or leave the socket out", path)
	case !terminal && path != "":
		return fmt.Errorf("console socket %s: the process has no terminal: set process.terminal or leave the socket out", path)
	case !terminal:
		return nil
	case path == "":
		ours, theirs, err := linux.Socketpair()
		if err != nil {
			return err
		}
		f.terminal, f.list[plan.FDConsole] = ours, f.own(theirs)
		return nil
	}
	socket, err := linux.DialUnix(path)
	if err != nil {
		return fmt.Errorf("connect to the console socket: %w", err)
	}
	f.list[plan.FDConsole] = f.own(socket)
	return nil
}

// add appends files that are closed here afterwards.
func (f *inherited) add(files []*os.File) {
	for _, file := range files {
		f.list = append(f.list, f.own(file))
	}
}

// init appends the files by which a builder finds a container's init, whose pidfd
// the caller owns. Entering by that fails if the root is another process's by then.
func (f *inherited) init(pidfd *os.File, s *specs.Spec, pid int) error {
	f.list = append(f.list, pidfd)
	if plan.OwnMounts(s) {
		return nil
	}
	root, err := linux.OpenPath(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return fmt.Errorf("find the container's root: %w", err)
	}
	f.add([]*os.File{root})
	return nil
}

// preserve appends the files that this process was started with besides the
// standard ones and that the command gets.
func (f *inherited) preserve(n int) error {
	for fd := plan.FDVerdict; fd < plan.FDVerdict+n; fd++ {
		file, err := linux.Duplicate(fd)
		if err != nil {
			return fmt.Errorf("preserve file descriptor %d: %w", fd, err)
		}
		f.list = append(f.list, f.own(file))
	}
	return nil
}

// launch starts a program and waits for its verdict. begun runs when the builder
// has done its part; the process may not have come far.
func launch(ctx context.Context, prog *program.Program, files *inherited, begun func(pid int) error) (pid int, err error) {
	started, err := prog.Start(program.StartArgs{Argv: []string{"berth-oci"}, Files: files.list, Patient: true})
	if err != nil {
		return 0, err
	}
	files.handOver()
	pid, err = started.Child()
	// The builder ends by itself. One that was killed has left the init waiting.
	status, werr := started.Wait()
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, reap(pid)) // so that its cgroup is empty
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // as above
	defer stop()
	switch {
	case werr != nil:
		err = werr
	case status.Signaled():
		return pid, fmt.Errorf("the process that builds the container was killed: %v: look for a lack of memory in the kernel's log", status.Signal())
	case status.ExitStatus() == 0:
		err = begun(pid)
	}
	if err == nil || errors.Is(err, io.EOF) { // EOF: it has ended, and the verdict may say why
		if verdict := started.Verdict(); verdict != nil {
			err = verdict
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return pid, err
}

// reap ends a child of ours that nobody has reaped.
func reap(pid int) error {
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	_, err := linux.WaitChild(pid)
	return err
}

// explain words a failed execve of a command as runc does: engines read it.
func explain(err error, name string) error {
	var f *program.Failure
	if !errors.As(err, &f) || !f.Step.Exec {
		return err
	}
	switch {
	case errors.Is(f.Errno, syscall.ENOENT) && !strings.Contains(name, "/"):
		return fmt.Errorf("exec: %q: executable file not found in $PATH: %w", name, f.Errno)
	case errors.Is(f.Errno, syscall.ENOENT):
		return fmt.Errorf("exec: %q: stat %s: %w", name, name, f.Errno)
	}
	return fmt.Errorf("exec: %q: %w", name, f.Errno)
}
