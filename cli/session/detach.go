package session

import (
	"errors"
	"fmt"

	"github.com/moby/term"
)

// ErrDetached says that the user typed the detach keys: the container goes on.
var ErrDetached = errors.New("detached by the detach keys")

// DefaultDetachKeys are docker's.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// DetachKeys parses a list of keys, as ctrl-p,ctrl-q.
func DetachKeys(s string) ([]byte, error) {
	if s == "" {
		s = DefaultDetachKeys
	}
	keys, err := term.ToBytes(s)
	if err != nil {
		return nil, fmt.Errorf("invalid --detach-keys %q: write letters or ctrl-LETTER separated by commas, as %s", s, DefaultDetachKeys)
	}
	return keys, nil
}

// detacher looks for a sequence of keys in input that comes in any pieces. Keys
// that may become the sequence are held back until it is decided.
type detacher struct {
	keys []byte
	held int // so many of keys were seen
}

// filter returns what of in goes on to the container, and whether the sequence
// is complete. What follows the sequence is dropped.
func (d *detacher) filter(in []byte) (out []byte, detached bool) {
	if len(d.keys) == 0 {
		return in, false
	}
	if d.held == 0 && !contains(in, d.keys[0]) {
		return in, false
	}
	for _, b := range in {
		for d.held > 0 && d.keys[d.held] != b {
			// The longest held tail that can still become the sequence stays held.
			next := d.fallback()
			out = append(out, d.keys[:d.held-next]...)
			d.held = next
		}
		if d.keys[d.held] != b {
			out = append(out, b)
			continue
		}
		d.held++
		if d.held == len(d.keys) {
			d.held = 0
			return out, true
		}
	}
	return out, false
}

// rest returns the held keys when the input ends.
func (d *detacher) rest() []byte {
	r := d.keys[:d.held]
	d.held = 0
	return r
}

// fallback is the length of the longest proper prefix of keys that ends what is held.
func (d *detacher) fallback() int {
	held := d.keys[:d.held]
	for n := d.held - 1; n > 0; n-- {
		if string(held[d.held-n:]) == string(d.keys[:n]) {
			return n
		}
	}
	return 0
}

func contains(s []byte, b byte) bool {
	for _, c := range s {
		if c == b {
			return true
		}
	}
	return false
}
