package docker

import (
	"encoding/json"
	"net/http"
	"strconv"

	"berth/engine"

	"github.com/moby/moby/api/types/container"
)

func (s *Server) containerAttach(w http.ResponseWriter, r *http.Request, v vars) error {
	q := queryOf(r)
	o := engine.AttachOptions{
		Stdin: q.flag("stdin"), Stdout: q.flag("stdout"), Stderr: q.flag("stderr"),
		Stream: q.flag("stream"), Logs: q.flag("logs"),
	}
	keys, err := detachKeys(q.text("detachKeys"))
	if err != nil {
		return err
	}
	if q.err != nil {
		return q.err
	}
	session, err := s.backend.Attach(r.Context(), v["id"], o)
	if err != nil {
		return err
	}
	defer session.Close()
	conn, err := hijack(w, r, session.TTY)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.serve(r.Context(), session, keys)
	return nil
}

// cells reads a terminal's size.
func cells(r *http.Request) (height, width uint16, err error) {
	q := queryOf(r)
	read := func(name string) uint16 {
		n, e := strconv.ParseUint(q.text(name), 10, 16)
		if e != nil {
			q.fail(name)
		}
		return uint16(n)
	}
	height, width = read("h"), read("w")
	return height, width, q.err
}

func (s *Server) containerResize(w http.ResponseWriter, r *http.Request, v vars) error {
	height, width, err := cells(r)
	if err != nil {
		return err
	}
	if err := s.backend.Resize(r.Context(), v["id"], height, width); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) containerWait(w http.ResponseWriter, r *http.Request, v vars) error {
	until := container.WaitCondition(queryOf(r).text("condition"))
	switch until {
	case "":
		until = container.WaitConditionNotRunning
	case container.WaitConditionNotRunning, container.WaitConditionNextExit, container.WaitConditionRemoved:
	default:
		return invalid("unknown wait condition %.80q", string(until))
	}
	wait, err := s.backend.Wait(r.Context(), v["id"], until)
	if err != nil {
		return err
	}
	// The header goes out now: the client knows that the wait is registered
	// and may start the container.
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	out := newFlusher(w)
	if err := out.c.Flush(); err != nil {
		return nil //nolint:nilerr // the client has gone
	}
	result, err := wait(r.Context())
	if err != nil {
		if r.Context().Err() != nil {
			return nil
		}
		result.StatusCode, result.Error = -1, &container.WaitExitError{Message: message(err)}
	}
	_ = json.NewEncoder(out).Encode(result) // the client may have gone
	return nil
}

func (s *Server) containerLogs(w http.ResponseWriter, r *http.Request, v vars) error {
	q := queryOf(r)
	o := engine.LogOptions{LogQuery: engine.LogQuery{
		Tail: -1, Since: q.time("since"), Until: q.time("until"),
		Stdout: q.flag("stdout"), Stderr: q.flag("stderr"), Follow: q.flag("follow"),
	}}
	if t := q.text("tail"); t != "" && t != "all" {
		if n, err := strconv.Atoi(t); err == nil { // Docker: anything else is "all"
			o.Tail = n
		}
	}
	if q.err != nil {
		return q.err
	}
	if !o.Stdout && !o.Stderr {
		return invalid("choose at least one of stdout and stderr")
	}
	logs, err := s.backend.OpenLogs(r.Context(), v["id"], o)
	if err != nil {
		return err
	}
	stamp := q.flag("timestamps")
	w.Header().Set("Content-Type", streamType(logs.TTY))
	w.WriteHeader(http.StatusOK)
	out := newFlusher(w)
	if err := out.c.Flush(); err != nil {
		return nil //nolint:nilerr // the client has gone
	}
	stdout, stderr := outputs(w, logs.TTY)
	err = logs.Read(r.Context(), func(e engine.LogEntry) error {
		to := stdout
		if e.Stream == "stderr" {
			to = stderr
		}
		line := e.Log
		if stamp {
			line = e.Time.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") + " " + line
		}
		if _, err := to.Write([]byte(line)); err != nil {
			return err
		}
		if o.Follow {
			return out.c.Flush()
		}
		return nil
	})
	if err != nil && r.Context().Err() == nil {
		s.log.Warn("read log", "container", v["id"], "error", err)
	}
	return nil
}
