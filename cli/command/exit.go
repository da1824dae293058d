package command

import (
	"errors"
	"fmt"
)

// Exit codes that berth chooses. A container's own code is passed on as it is,
// and 128+n means that signal n ended it.
const (
	Failed     = 1   // the daemon or the system refused what a command asked for
	BadInput   = 125 // wrong flags or arguments; for run and create also a refusal of the daemon
	CannotExec = 126 // the container's command exists but cannot be executed
	NoCommand  = 127 // the container's command does not exist
)

// Exit is an error that carries the process's exit code. With Err nil nothing is
// printed: the code is the answer.
type Exit struct {
	Code int
	Err  error
}

func (e *Exit) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives the error that is printed.
func (e *Exit) Unwrap() error { return e.Err }

// BadUsage is an error in what the user typed.
func BadUsage(format string, args ...any) error {
	return &Exit{Code: BadInput, Err: fmt.Errorf(format, args...)}
}

// Code makes err end the process with the code, unless it already carries one.
func Code(code int, err error) error {
	var e *Exit
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &Exit{Code: code, Err: err}
}

// Each runs f for each argument, prints each error but the last as it comes and
// returns the last: as docker's commands that take several containers.
func Each(c *CLI, args []string, f func(arg string) error) error {
	var last error
	for _, a := range args {
		if err := f(a); err != nil {
			if last != nil {
				c.Warn(last)
			}
			last = err
		}
	}
	return last
}
