// Package console joins the terminal of a process to that of whoever called.
//
// Level: R.
// Owns: raw mode and the copying, until Close.
// May import: internal/linux, golang.org/x/term.
// Must not know: containers.
package console

import (
	"errors"
	"io"
	"os"
	"sync"

	"berth/internal/linux"

	"golang.org/x/term"
)

// Terminal is a process's terminal, joined to the standard files of this process.
type Terminal struct {
	master  *os.File
	restore *term.State
	output  sync.WaitGroup
}

// Attach receives the terminal from a socket and copies from standard input and
// to standard output.
func Attach(socket *os.File) (*Terminal, error) {
	master, err := linux.ReceiveFile(socket, "terminal")
	if err != nil {
		return nil, err
	}
	t := &Terminal{master: master}
	t.Resize()
	if in := int(os.Stdin.Fd()); term.IsTerminal(in) {
		if t.restore, err = term.MakeRaw(in); err != nil {
			return nil, errors.Join(err, master.Close())
		}
	}
	// Nothing ends a read of standard input but the end of this process: it is not joined.
	go func() { pass(master, os.Stdin) }()
	t.output.Go(func() { pass(os.Stdout, master) }) // EIO is how a terminal ends
	return t, nil
}

// pass copies until one side ends. It is no io.Copy, which would splice: a
// terminal has no pages for that.
func pass(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// Resize gives the terminal the size of ours, if we have one.
func (t *Terminal) Resize() {
	if w, h, err := term.GetSize(int(os.Stdin.Fd())); err == nil {
		_ = linux.SetWinsize(t.master, uint16(w), uint16(h)) // it stays as it was
	}
}

// Close waits for the last output, and gives our terminal its mode back.
func (t *Terminal) Close() (err error) {
	t.output.Wait()
	if t.restore != nil {
		err = term.Restore(int(os.Stdin.Fd()), t.restore)
	}
	return errors.Join(err, t.master.Close())
}
