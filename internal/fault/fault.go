// Package fault makes errors that have a class for programs and a sentence for
// people, without the class's words in the sentence.
//
// Level: L0.
// Owns: nothing.
// May import: the standard library.
// Must not know: the classes; callers pass those of containerd/errdefs.
package fault

import "fmt"

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
