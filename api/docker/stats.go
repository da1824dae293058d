package docker

import (
	"encoding/json"
	"net/http"
	"time"
)

// statsInterval is Docker's.
const statsInterval = time.Second

func (s *Server) containerStats(w http.ResponseWriter, r *http.Request, v vars) error {
	q := queryOf(r)
	stream := q.text("stream") == "" || q.flag("stream")
	now, err := s.backend.Stats(r.Context(), v["id"])
	if err != nil {
		return err
	}
	tick := time.NewTicker(statsInterval)
	defer tick.Stop()
	if !stream && !q.flag("one-shot") {
		// The client computes the load from two samples.
		before := now
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return nil
		}
		if now, err = s.backend.Stats(r.Context(), v["id"]); err != nil {
			return err
		}
		now.PreCPUStats, now.PreRead = before.CPUStats, before.Read
	}
	if !stream {
		return encode(w, http.StatusOK, now)
	}
	w.Header().Set("Content-Type", "application/json")
	out := newFlusher(w)
	for {
		if err := json.NewEncoder(out).Encode(now); err != nil {
			return nil //nolint:nilerr // the client has gone
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return nil
		}
		before := now
		if now, err = s.backend.Stats(r.Context(), v["id"]); err != nil {
			return nil //nolint:nilerr // the container has gone; the stream ends
		}
		now.PreCPUStats, now.PreRead = before.CPUStats, before.Read
	}
}
