// Package cleanup keeps undo beside do: a stack of functions that run in
// reverse order unless the work succeeds.
//
// Level: L0.
// Owns: the undo stack.
// May import: the standard library.
// Must not know: what is undone.
package cleanup

import "errors"

// Stack holds undo functions. The zero value is ready for use. It is not safe
// for concurrent use.
//
//	var undo cleanup.Stack
//	defer undo.Run(&err)
//	...do...
//	undo.Add(func() error { ...undo... })
//	undo.Release()
type Stack struct {
	undo []func() error
}

// Add pushes f.
func (s *Stack) Add(f func() error) { s.undo = append(s.undo, f) }

// Release forgets all functions: the work is done and stays.
func (s *Stack) Release() { s.undo = nil }

// Run calls the functions in reverse order and joins their errors to *err. It
// does nothing after Release.
func (s *Stack) Run(err *error) {
	for i := len(s.undo) - 1; i >= 0; i-- {
		if e := s.undo[i](); e != nil {
			*err = errors.Join(*err, e)
		}
	}
	s.undo = nil
}
