package program

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
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
	// Pid is the process's. It is a child of this one: Wait reaps it.
	Pid     int
	program *Program
	verdict *os.File
}

// StartArgs say how a program is started.
type StartArgs struct {
	// Argv are its arguments. Its environment is empty.
	Argv []string
	// Files are its descriptors 0, 1, ..., nil for a closed one. The verdict pipe
	// goes to VerdictFD, whatever is there. One more descriptor after them is the
	// program itself.
	Files []*os.File
	// Patient: the verdict is waited for in a read that GiveUp does not end, which
	// is cheaper in a process that does nothing else.
	Patient bool
}

// Start runs the program as a child process, in a session of its own.
func (p *Program) Start(a StartArgs) (_ *Started, err error) {
	exe, err := linux.SealedMemfd("berth", p)
	if err != nil {
		return nil, fmt.Errorf("make the program's file: %w", err)
	}
	defer exe.Close()
	r, w, err := linux.Pipe(!a.Patient, false)
	if err != nil {
		return nil, fmt.Errorf("make the verdict pipe: %w", err)
	}
	defer w.Close()
	files := make([]uintptr, len(a.Files)+1)
	for i, f := range append(a.Files, exe) {
		if i == VerdictFD {
			f = w
		}
		files[i] = ^uintptr(0)
		if f != nil {
			files[i] = f.Fd()
		}
	}
	// The executable is named by where the child has it: its number here may be
	// used for something else while the child sorts its files. No os.StartProcess:
	// that asks the kernel for a pidfd first, with a process to try it.
	pid, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(len(a.Files)), a.Argv, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	runtime.KeepAlive(a.Files)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the program: %w", err), r.Close())
	}
	return &Started{Pid: pid, program: p, verdict: r}, nil
}

// Wait reaps the program, once.
func (s *Started) Wait() (syscall.WaitStatus, error) { return linux.WaitChild(s.Pid) }

// Kill ends the program. It must not be reaped yet.
func (s *Started) Kill() { _ = syscall.Kill(s.Pid, syscall.SIGKILL) } // it may have ended

// GiveUp makes Verdict return at once, if it is not patient: a process can be
// beyond the reach of signals for long.
func (s *Started) GiveUp() { _ = s.verdict.SetReadDeadline(time.Unix(1, 0)) } // it may be closed

// Verdict waits until the verdict pipe closes, which is when the last process
// of the program has executed the user's command, has let go of it, or ended. A step that failed
// is a *Failure.
func (s *Started) Verdict() error {
	defer s.verdict.Close()
	for {
		msg, err := s.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if msg.address != 0 {
			return s.program.failure(msg)
		}
	}
}

// Child waits for the pid that ReportChild sends. A step that failed before is a *Failure.
func (s *Started) Child() (int, error) {
	msg, err := s.read()
	if errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read the verdict: the program ended before its child began")
	}
	if err != nil {
		return 0, err
	}
	if msg.address != 0 {
		return 0, s.program.failure(msg)
	}
	return int(msg.word), nil
}

// message is what a program writes to the verdict pipe: the address of a failed
// step and its errno, or 0 and the child's pid.
type message struct{ address, word uint64 }

const messageSize = 16

func (s *Started) read() (message, error) {
	var b [messageSize]byte
	if _, err := io.ReadFull(s.verdict, b[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return message{}, err
		}
		return message{}, fmt.Errorf("read the verdict: %w", err)
	}
	return decode(b[:]), nil
}

func decode(b []byte) message {
	return message{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (p *Program) failure(m message) error {
	base := p.b.stepsBase()
	i := int(m.address-base) / stepSize
	if m.address < base || i >= p.Len() {
		return fmt.Errorf("the verdict names no step: address %#x", m.address)
	}
	return &Failure{Step: p.step(i), Errno: syscall.Errno(m.word)}
}

// Later names a step for who reads a verdict and does not have the program.
type Later struct {
	Address uint64 `json:"address"`
	Name    string `json:"name"`
	Remedy  string `json:"remedy,omitempty"`
	Exec    bool   `json:"exec,omitempty"`
}

// Later lists the steps from the label of Builder.Later on; none without one.
func (p *Program) Later() []Later {
	var all []Later
	for i := p.later; i < p.Len(); i++ {
		s := p.step(i)
		all = append(all, Later{p.b.stepsBase() + uint64(i*stepSize), s.Name, s.Remedy, s.Exec})
	}
	return all
}

// LaterVerdict is Verdict for who has opened the file that took the verdict's place.
func LaterVerdict(r io.Reader, steps []Later) error {
	b := make([]byte, messageSize)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return fmt.Errorf("read the verdict: %w", err)
	}
	m := decode(b)
	for _, s := range steps {
		if s.Address == m.address {
			return &Failure{Step: &Step{Work: &Work{Name: s.Name, Remedy: s.Remedy}, Exec: s.Exec}, Errno: syscall.Errno(m.word)}
		}
	}
	return fmt.Errorf("the verdict names no step: address %#x", m.address)
}
