package docker

import (
	"encoding/json"
	"net/http"
	"time"

	"berth/engine"

	"github.com/moby/moby/api/types/events"
)

func (s *Server) ping(w http.ResponseWriter, r *http.Request, _ vars) error {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Builder-Version", "")
	h.Set("Docker-Experimental", "false")
	h.Set("Swarm", "inactive")
	if r.Method == http.MethodHead {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Content-Length", "0")
		return nil
	}
	return plain(w, "OK", nil)
}

func (s *Server) version(w http.ResponseWriter, r *http.Request, _ vars) error {
	v, err := s.backend.Version(r.Context())
	if err != nil {
		return err
	}
	v.APIVersion, v.MinAPIVersion = APIVersion, MinAPIVersion
	for _, c := range v.Components { // where docker's client looks
		c.Details["ApiVersion"], c.Details["MinAPIVersion"] = APIVersion, MinAPIVersion
	}
	return encode(w, http.StatusOK, v)
}

func (s *Server) info(w http.ResponseWriter, r *http.Request, _ vars) error {
	info, err := s.backend.Info(r.Context())
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, info)
}

func (s *Server) events(w http.ResponseWriter, r *http.Request, _ vars) error {
	q := queryOf(r)
	since, until, filters := q.time("since"), q.time("until"), q.filters()
	if q.err != nil {
		return q.err
	}
	past, next, stop := s.backend.Events(since)
	defer stop()
	var end <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		end = timer.C
	}
	w.Header().Set("Content-Type", "application/json")
	out := newFlusher(w)
	if err := out.c.Flush(); err != nil {
		return nil //nolint:nilerr // the client has gone
	}
	send := func(m events.Message) error {
		ok := filters.Match("type", string(m.Type)) && filters.Match("event", string(m.Action)) &&
			filters.Match("container", m.Actor.ID, m.Actor.Attributes["name"]) &&
			filters.Match("image", m.Actor.ID, m.Actor.Attributes["image"], m.Actor.Attributes["name"]) &&
			matchNetwork(filters, m) &&
			filters.MatchLabels(m.Actor.Attributes) && (until.IsZero() || m.TimeNano <= until.UnixNano())
		if !ok {
			return nil
		}
		return json.NewEncoder(out).Encode(m)
	}
	for _, m := range past {
		if err := send(m); err != nil {
			return nil //nolint:nilerr // the client has gone
		}
	}
	for {
		select {
		case m, ok := <-next:
			if !ok { // too slow
				return nil
			}
			if err := send(m); err != nil {
				return nil //nolint:nilerr // the client has gone
			}
		case <-end:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

// matchNetwork is the filter network: it only lets events of networks pass.
func matchNetwork(f engine.Filters, m events.Message) bool {
	if m.Type != events.NetworkEventType {
		return len(f["network"]) == 0
	}
	return f.Match("network", m.Actor.ID, m.Actor.Attributes["name"])
}
