package docker

import (
	"errors"
	"net/http"
	"strings"

	"berth/engine"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// createBody is the body of /containers/create.
type createBody struct {
	*container.Config
	HostConfig       *container.HostConfig
	NetworkingConfig *network.NetworkingConfig
}

func createRequest(w http.ResponseWriter, r *http.Request) (engine.CreateRequest, error) {
	body := createBody{Config: &container.Config{}, HostConfig: &container.HostConfig{}}
	if err := decodeBody(w, r, &body, false); err != nil {
		return engine.CreateRequest{}, err
	}
	if body.Config == nil || body.HostConfig == nil {
		return engine.CreateRequest{}, invalid("request body: HostConfig must be an object")
	}
	networks, err := endpoints(body.NetworkingConfig)
	if err != nil {
		return engine.CreateRequest{}, err
	}
	q := queryOf(r)
	return engine.CreateRequest{
		Name:       q.text("name"),
		Platform:   q.text("platform"),
		Config:     body.Config,
		HostConfig: body.HostConfig,
		Networks:   networks,
	}, q.err
}

func (s *Server) containerCreate(w http.ResponseWriter, r *http.Request, _ vars) error {
	req, err := createRequest(w, r)
	if err != nil {
		return err
	}
	created, err := s.backend.Create(r.Context(), req)
	if errors.Is(err, errdefs.ErrNotFound) && !strings.HasPrefix(err.Error(), "No such image") {
		return invalid("%v", err) // at 404 docker's client pulls the image and asks again
	}
	if err != nil {
		return err
	}
	if created.Warnings == nil {
		created.Warnings = []string{}
	}
	return encode(w, http.StatusCreated, created)
}

func (s *Server) containerList(w http.ResponseWriter, r *http.Request, _ vars) error {
	q := queryOf(r)
	o := engine.ListOptions{All: q.flag("all"), Limit: q.number("limit", 0), Size: q.flag("size"), Filters: q.filters()}
	if q.err != nil {
		return q.err
	}
	list, err := s.backend.List(r.Context(), o)
	if err != nil {
		return err
	}
	if list == nil {
		list = []container.Summary{}
	}
	return encode(w, http.StatusOK, list)
}

func (s *Server) containerInspect(w http.ResponseWriter, r *http.Request, v vars) error {
	info, err := s.backend.Inspect(r.Context(), v["id"], queryOf(r).flag("size"))
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, info)
}

// done answers a verb that has no result.
func done(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (s *Server) containerStart(w http.ResponseWriter, r *http.Request, v vars) error {
	return done(w, s.backend.Start(r.Context(), v["id"]))
}

func stopOptions(r *http.Request) (engine.StopOptions, error) {
	q := queryOf(r)
	o := engine.StopOptions{Signal: q.text("signal")}
	if q.text("t") != "" {
		seconds := q.number("t", 0)
		o.Timeout = &seconds
	}
	return o, q.err
}

func (s *Server) containerStop(w http.ResponseWriter, r *http.Request, v vars) error {
	o, err := stopOptions(r)
	if err != nil {
		return err
	}
	return done(w, s.backend.Stop(r.Context(), v["id"], o))
}

func (s *Server) containerRestart(w http.ResponseWriter, r *http.Request, v vars) error {
	o, err := stopOptions(r)
	if err != nil {
		return err
	}
	return done(w, s.backend.Restart(r.Context(), v["id"], o))
}

func (s *Server) containerKill(w http.ResponseWriter, r *http.Request, v vars) error {
	return done(w, s.backend.Kill(r.Context(), v["id"], queryOf(r).text("signal")))
}

func (s *Server) containerPause(w http.ResponseWriter, r *http.Request, v vars) error {
	return done(w, s.backend.Pause(r.Context(), v["id"]))
}

func (s *Server) containerUnpause(w http.ResponseWriter, r *http.Request, v vars) error {
	return done(w, s.backend.Unpause(r.Context(), v["id"]))
}

func (s *Server) containerRename(w http.ResponseWriter, r *http.Request, v vars) error {
	return done(w, s.backend.Rename(r.Context(), v["id"], queryOf(r).text("name")))
}

func (s *Server) containerRemove(w http.ResponseWriter, r *http.Request, v vars) error {
	q := queryOf(r)
	if q.flag("link") {
		return invalid("links are not supported")
	}
	return done(w, s.backend.Remove(r.Context(), v["id"], engine.RemoveOptions{Force: q.flag("force"), Volumes: q.flag("v")}))
}

func (s *Server) containerPrune(w http.ResponseWriter, r *http.Request, _ vars) error {
	q := queryOf(r)
	f := q.filters()
	if q.err != nil {
		return q.err
	}
	report, err := s.backend.Prune(r.Context(), f)
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, report)
}

func (s *Server) containerTop(w http.ResponseWriter, r *http.Request, v vars) error {
	// ps's own options are not run: nothing is executed for a look from outside.
	top, err := s.backend.Top(r.Context(), v["id"])
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, top)
}

func (s *Server) containerExplain(w http.ResponseWriter, r *http.Request, v vars) error {
	text, err := s.backend.Explain(r.Context(), v["id"])
	return plain(w, text, err)
}

func (s *Server) requestExplain(w http.ResponseWriter, r *http.Request, _ vars) error {
	req, err := createRequest(w, r)
	if err != nil {
		return err
	}
	text, err := s.backend.ExplainRequest(r.Context(), req)
	return plain(w, text, err)
}

func plain(w http.ResponseWriter, text string, err error) error {
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // the client may have gone
	return nil
}
