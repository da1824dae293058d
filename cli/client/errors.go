package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
)

// Error is an error that the daemon answered.
type Error struct {
	Status  int    // HTTP status
	Message string // what the user should read
	// ExitCode is berth's own addition: 126 or 127 when a container's command
	// could not be started, else 0.
	ExitCode int
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the class of the error, for errors.Is.
func (e *Error) Unwrap() error {
	switch e.Status {
	case 400:
		return errdefs.ErrInvalidArgument
	case 401:
		return errdefs.ErrUnauthenticated
	case 403:
		return errdefs.ErrPermissionDenied
	case 404:
		return errdefs.ErrNotFound
	case 409:
		return errdefs.ErrConflict
	case 501:
		return errdefs.ErrNotImplemented
	case 503:
		return errdefs.ErrUnavailable
	}
	return errdefs.ErrUnknown
}

// LostError says that the connection to the daemon broke before the answer's
// end: the daemon died or was stopped.
type LostError struct{ Err error }

func (e *LostError) Error() string {
	return "lost the connection to berthd: " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *LostError) Unwrap() error { return e.Err }

// IsLost tells whether err means that the daemon went away.
func IsLost(err error) bool {
	var l *LostError
	return errors.As(err, &l)
}

// ReadError says that the data to upload could not be read: not the daemon's fault.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "read the data to send: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// error reads the answer as an error of the daemon.
func (a *Answer) error(q request) error {
	data, err := io.ReadAll(io.LimitReader(a, maxError))
	if err != nil {
		return a.explain(fmt.Errorf("read the error that berthd answers to %s %s: %w", q.method, q.path, err))
	}
	var m struct {
		Message  string `json:"message"`
		ExitCode int    `json:"exitCode"`
	}
	if json.Unmarshal(data, &m) != nil || m.Message == "" {
		m.Message = strings.TrimSpace(string(data))
	}
	if m.Message == "" {
		m.Message = fmt.Sprintf("berthd answers %d to %s %s", a.status, q.method, q.path)
	}
	return &Error{Status: a.status, Message: m.Message, ExitCode: m.ExitCode}
}
