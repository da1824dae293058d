package systemd

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"berth/ociruntime/program"
)

// Holder is a process that does nothing but be in a scope until the container's
// is: systemd makes none without, and stops one that becomes empty. It ends with its maker.
type Holder struct {
	started *program.Started
	life    *os.File
}

// Hold starts a holder, in the caller's cgroup.
func Hold() (_ *Holder, err error) {
	b := program.NewBuilder()
	buf := b.Buffer("buf", make([]byte, 8))
	b.Do("wait for the container to start")
	b.Call("read", syscall.SYS_READ, program.Int(0), buf.At(0), program.Int(1))
	b.Call("exit_group", syscall.SYS_EXIT_GROUP, program.Int(0))
	prog, err := b.Assemble()
	if err != nil {
		return nil, err
	}
	theirs, life, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the scope's first process: %w", err)
	}
	defer theirs.Close()
	started, err := prog.Start(program.StartArgs{Argv: []string{"berth-scope"}, Files: []*os.File{theirs, nil, nil, nil}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the scope's first process: %w", err), life.Close())
	}
	return &Holder{started, life}, nil
}

// Pid is the holder's process.
func (h *Holder) Pid() int { return h.started.Pid }

// Release ends the holder and waits for it. It may be repeated, and nil has none.
func (h *Holder) Release() error {
	if h == nil || h.life == nil {
		return nil
	}
	err := h.life.Close()
	h.life = nil
	if verr := h.started.Verdict(); verr != nil {
		err = errors.Join(err, verr)
	}
	_, werr := h.started.Wait()
	return errors.Join(err, werr)
}
