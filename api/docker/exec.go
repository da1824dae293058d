package docker

import (
	"context"
	"fmt"
	"net/http"

	"github.com/moby/moby/api/types/container"
)

func (s *Server) execCreate(w http.ResponseWriter, r *http.Request, v vars) error {
	var req container.ExecCreateRequest
	if err := decodeBody(w, r, &req, false); err != nil {
		return err
	}
	id, err := s.backend.ExecCreate(r.Context(), v["id"], req)
	if err != nil {
		return err
	}
	return encode(w, http.StatusCreated, container.ExecCreateResponse{ID: id})
}

// execStart is Docker's: without Detach the answer is a stream, and a command
// that cannot be started is reported in it; its exit code, 126 or 127, is that
// of the exec.
func (s *Server) execStart(w http.ResponseWriter, r *http.Request, v vars) error {
	var req container.ExecStartRequest
	if err := decodeBody(w, r, &req, true); err != nil {
		return err
	}
	if req.Detach {
		if err := s.backend.ExecStart(r.Context(), v["id"], req); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	keys, err := detachKeys(queryOf(r).text("detachKeys"))
	if err != nil {
		return err
	}
	session, err := s.backend.ExecAttach(r.Context(), v["id"], req)
	if err != nil {
		return err
	}
	defer session.Close()
	conn, err := hijack(w, r, session.TTY)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The start must not be cut short by a client that goes away.
	if err := s.backend.ExecStart(context.WithoutCancel(r.Context()), v["id"], req); err != nil {
		_, stderr := outputs(conn, session.TTY)
		_, _ = fmt.Fprintf(stderr, "%s\r\n", message(err)) // the client may have gone
		return nil
	}
	conn.serve(r.Context(), session, keys)
	return nil
}

func (s *Server) execResize(w http.ResponseWriter, r *http.Request, v vars) error {
	height, width, err := cells(r)
	if err != nil {
		return err
	}
	if err := s.backend.ExecResize(r.Context(), v["id"], height, width); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) execInspect(w http.ResponseWriter, r *http.Request, v vars) error {
	info, err := s.backend.ExecInspect(r.Context(), v["id"])
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, info)
}
