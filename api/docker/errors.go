package docker

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
)

// classes gives each class of error its status. The first match counts.
var classes = []struct {
	class  error
	status int
}{
	{errdefs.ErrNotModified, http.StatusNotModified},
	{errdefs.ErrInvalidArgument, http.StatusBadRequest},
	{errdefs.ErrOutOfRange, http.StatusBadRequest},
	{errdefs.ErrUnauthenticated, http.StatusUnauthorized},
	{errdefs.ErrPermissionDenied, http.StatusForbidden},
	{errdefs.ErrNotFound, http.StatusNotFound},
	{errdefs.ErrAlreadyExists, http.StatusConflict},
	{errdefs.ErrConflict, http.StatusConflict},
	{errdefs.ErrFailedPrecondition, http.StatusConflict},
	{errdefs.ErrAborted, http.StatusConflict},
	{errdefs.ErrNotImplemented, http.StatusNotImplemented},
	{errdefs.ErrUnavailable, http.StatusServiceUnavailable},
	{errdefs.ErrResourceExhausted, http.StatusInsufficientStorage},
	{errdefs.ErrDataLoss, http.StatusInternalServerError},
}

// exitCoder is an error of a command that could not be started.
type exitCoder interface {
	error
	ExitCode() int
}

// statusOf is the one place where errors become statuses.
func statusOf(err error) int {
	var tooLong *http.MaxBytesError
	var command exitCoder
	switch {
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &command):
		return http.StatusBadRequest
	}
	for _, c := range classes {
		if errors.Is(err, c.class) {
			return c.status
		}
	}
	return http.StatusInternalServerError
}

// message is what the user reads: the class's words at the end are for
// programs, who have the status.
func message(err error) string {
	msg := err.Error()
	for _, c := range classes {
		msg = strings.TrimSuffix(msg, ": "+c.class.Error())
	}
	return msg
}

type errorBody struct {
	Message  string `json:"message"`
	ExitCode int    `json:"exitCode,omitempty"`
}

func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	if r.Context().Err() == nil && !errors.Is(err, context.Canceled) && status >= 500 {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	body := errorBody{Message: message(err)}
	var command exitCoder
	if errors.As(err, &command) {
		body.ExitCode = command.ExitCode()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}
