// Package fault makes errors that have a class for programs and a sentence for
// people, without the class's words in the sentence.
//
// Level: L0.
// Owns: nothing.
// May import: the standard library.
// Must not know: the classes; callers pass those of containerd/errdefs.
package fault

import (
	"errors"
	"fmt"
	"syscall"
)

// Errorf is fmt.Errorf with a class: errors.Is and errors.As find class and
// what %w wraps; the text is the format's alone.
//
//	fault.Errorf(errdefs.ErrNotFound, "image %q not found: pull it or check the name", ref)
func Errorf(class error, format string, args ...any) error {
	return &classed{err: fmt.Errorf(format, args...), class: class}
}

type classed struct{ err, class error }

func (e *classed) Error() string   { return e.err.Error() }
func (e *classed) Unwrap() []error { return []error{e.err, e.class} }

// Passing says that an error is the machine's want of something at this moment
// (open files, memory), which tells nothing of the object that was asked for.
func Passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
