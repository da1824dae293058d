package session

import (
	"fmt"
	"os"
	"sync"

	"github.com/moby/term"
)

// Terminal is a terminal in raw mode. A nil *Terminal is no terminal: its
// methods do nothing.
type Terminal struct {
	f *os.File

	mu    sync.Mutex
	saved *term.State // nil once restored; guarded by mu
}

// Raw sets the terminal f to raw mode: each key goes to the container as it is
// typed, Ctrl-C too.
func Raw(f *os.File) (*Terminal, error) {
	saved, err := term.SetRawTerminal(f.Fd())
	if err != nil {
		return nil, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	return &Terminal{f: f, saved: saved}, nil
}

// Restore puts the terminal back as it was. Later calls do nothing.
func (t *Terminal) Restore() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == nil {
		return
	}
	_ = term.RestoreTerminal(t.f.Fd(), t.saved) // it fails only if the terminal is gone
	t.saved = nil
}

// Again sets raw mode once more, for a shell that changed the terminal while
// berth was stopped. It does nothing after Restore.
func (t *Terminal) Again() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved != nil {
		_, _ = term.SetRawTerminal(t.f.Fd()) // the state to restore is the first one
	}
}

// OnPanic is deferred in each goroutine of a session: a panic that nobody stops
// must not leave the terminal raw.
func (t *Terminal) OnPanic() {
	if r := recover(); r != nil {
		t.Restore()
		panic(r)
	}
}

// Size is the height and width of the terminal f, or zeros.
func Size(f *os.File) (height, width uint) {
	if f == nil {
		return 0, 0
	}
	s, err := term.GetWinsize(f.Fd())
	if err != nil {
		return 0, 0
	}
	return uint(s.Height), uint(s.Width)
}
