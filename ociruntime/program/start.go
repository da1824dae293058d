package program

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"berth/internal/linux"
)

// Failure is a step that failed.
type Failure struct {
	Step  *Step
	Errno syscall.Errno
}

// Error returns "mount proc at /proc: operation not permitted", and the remedy
// if there is one.
func (f *Failure) Error() string {
	text := f.Step.Name + ": " + f.Errno.Error()
	if f.Step.Remedy != "" {
		text += ": " + f.Step.Remedy
	}
	return text
}

// Unwrap returns the errno.
func (f *Failure) Unwrap() error { return f.Errno }

// Started is a running program.
type Started struct {
	Process *os.Process
	program *Program
	verdict *os.File
}

// Start runs the program as a child process with argv, an empty environment,
// and files as its descriptors 0, 1, ...; files[VerdictFD] must be nil: the
// verdict pipe goes there. One more descriptor after them is the program itself.
func (p *Program) Start(argv []string, files []*os.File) (_ *Started, err error) {
	exe, err := linux.SealedMemfd("berth", p.image)
	if err != nil {
		return nil, fmt.Errorf("make the program's file: %w", err)
	}
	defer exe.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the verdict pipe: %w", err)
	}
	defer w.Close()
	files[VerdictFD] = w
	// The executable is named by where the child has it: its number here may be
	// used for something else while the child sorts its files.
	proc, err := os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", len(files)), argv, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: append(files, exe), Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the program: %w", err), r.Close())
	}
	return &Started{Process: proc, program: p, verdict: r}, nil
}

// GiveUp makes Verdict return at once: a process can be beyond the reach of
// signals for long.
func (s *Started) GiveUp() { _ = s.verdict.SetReadDeadline(time.Unix(1, 0)) } // it may be closed

// Verdict waits until the verdict pipe closes, which is when the last process
// of the program has executed the user's command or ended. A step that failed
// is a *Failure.
func (s *Started) Verdict() error {
	defer s.verdict.Close()
	var msg [16]byte
	switch _, err := io.ReadFull(s.verdict, msg[:]); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("read the verdict: %w", err)
	}
	addr := binary.LittleEndian.Uint64(msg[0:])
	i := int(addr-s.program.base) / stepSize
	if addr < s.program.base || i >= len(s.program.steps) {
		return fmt.Errorf("the verdict names no step: address %#x", addr)
	}
	return &Failure{Step: s.program.steps[i], Errno: syscall.Errno(binary.LittleEndian.Uint64(msg[8:]))}
}
