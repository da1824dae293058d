package session

import (
	"errors"
	"io"
)

// Input is the caller's stdin. One goroutine reads it for the life of the
// process, because read(2) of a terminal cannot be interrupted; it holds at most
// one piece that nobody has taken. An Input outlives a connection, so a session
// that joins the container again after the daemon was replaced loses no key.
type Input struct {
	pieces chan []byte
	again  chan struct{} // the piece was used, its memory may be read into again
}

// NewInput starts to read r. A panic restores the terminal.
func NewInput(r io.Reader, t *Terminal) *Input {
	in := &Input{pieces: make(chan []byte), again: make(chan struct{})}
	go in.read(r, t) // never joined: see Input
	return in
}

func (in *Input) read(r io.Reader, t *Terminal) {
	defer t.OnPanic()
	defer close(in.pieces)
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			in.pieces <- buf[:n]
			<-in.again
		}
		if err != nil {
			return // the end of stdin, or a terminal that is gone: the same to the container
		}
	}
}

// halfCloser is a connection whose sending direction can end alone.
type halfCloser interface {
	io.Writer
	CloseWrite() error
}

// copy moves input to the connection until the input ends (then it closes the
// sending direction), the detach keys come (ErrDetached), the connection does
// not take more, or done is closed.
func (in *Input) copy(to halfCloser, keys []byte, done <-chan struct{}) error {
	d := detacher{keys: keys}
	for {
		select {
		case <-done:
			return nil
		case p, ok := <-in.pieces:
			if !ok {
				return errors.Join(write(to, d.rest()), to.CloseWrite())
			}
			out, detached := d.filter(p)
			err := write(to, out)
			in.again <- struct{}{}
			if detached {
				return ErrDetached
			}
			if err != nil {
				return err
			}
		}
	}
}

func write(w io.Writer, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := w.Write(p)
	return err
}
