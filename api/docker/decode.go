package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/engine"

	"github.com/containerd/errdefs"
)

// maxBody bounds a JSON body; nothing legitimate comes near it.
const maxBody = 1 << 20

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func notFound(format string, args ...any) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf(format, args...))
}

// decodeBody reads exactly one JSON value into out. An absent body is an error
// unless optional.
func decodeBody(w http.ResponseWriter, r *http.Request, out any, optional bool) error {
	body := http.MaxBytesReader(w, r.Body, maxBody)
	data, err := io.ReadAll(body)
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return fmt.Errorf("request body is longer than %d bytes: %w", maxBody, err)
		}
		return invalid("read request body: %v", err)
	}
	if len(data) == 0 {
		if optional {
			return nil
		}
		return invalid("request body is missing")
	}
	if t := r.Header.Get("Content-Type"); t != "" || !optional {
		if media, _, err := mime.ParseMediaType(t); err != nil || media != "application/json" {
			return invalid("content type is %q: it must be application/json", t)
		}
	}
	if err := json.Unmarshal(data, out); err != nil {
		return invalid("request body: %v", err)
	}
	return nil
}

func encode(w http.ResponseWriter, status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the client may have gone
	return nil
}

// query reads a request's parameters; the first wrong one is kept as the error.
type query struct {
	values url.Values
	err    error
}

func queryOf(r *http.Request) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		err = invalid("query: %v", err)
	}
	return &query{values, err}
}

func (q *query) fail(name string) {
	if q.err == nil {
		q.err = invalid("parameter %s=%.80q cannot be read", name, q.values.Get(name))
	}
}

func (q *query) text(name string) string { return q.values.Get(name) }

// flag is Docker's: absent, "0", "no", "false" and "none" are false.
func (q *query) flag(name string) bool {
	switch strings.ToLower(strings.TrimSpace(q.values.Get(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// number returns missing if the parameter is absent.
func (q *query) number(name string, missing int) int {
	v := q.values.Get(name)
	if v == "" {
		return missing
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		q.fail(name)
	}
	return n
}

// time reads Unix seconds with an optional fraction, or RFC 3339.
func (q *query) time(name string) time.Time {
	v := q.values.Get(name)
	if v == "" || v == "0" {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
		return t
	}
	sec, frac, _ := strings.Cut(v, ".")
	s, err := strconv.ParseInt(sec, 10, 64)
	if err != nil || len(frac) > 9 {
		q.fail(name)
		return time.Time{}
	}
	ns, err := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	if err != nil {
		q.fail(name)
	}
	return time.Unix(s, ns)
}

// filters reads {"name":{"value":true}} or the older {"name":["value"]}.
func (q *query) filters() engine.Filters {
	v := q.values.Get("filters")
	if v == "" {
		return nil
	}
	var sets map[string]map[string]bool
	f := engine.Filters{}
	if json.Unmarshal([]byte(v), &sets) == nil {
		for name, set := range sets {
			for value, on := range set {
				if on {
					f[name] = append(f[name], value)
				}
			}
		}
		return f
	}
	var lists map[string][]string
	if err := json.Unmarshal([]byte(v), &lists); err != nil {
		q.fail("filters")
	}
	return engine.Filters(lists)
}
