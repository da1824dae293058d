package docker

import (
	"net/http"
	"path/filepath"
	"strings"

	"berth/engine"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
)

func (s *Server) imageList(w http.ResponseWriter, r *http.Request, _ vars) error {
	q := queryOf(r)
	f := q.filters()
	if q.err != nil {
		return q.err
	}
	list, err := s.backend.ImageList(r.Context(), f)
	if err != nil {
		return err
	}
	if list == nil {
		list = []image.Summary{}
	}
	return encode(w, http.StatusOK, list)
}

// imagePull is POST /images/create with fromImage; importing (fromSrc) is not
// served.
func (s *Server) imagePull(w http.ResponseWriter, r *http.Request, _ vars) error {
	q := queryOf(r)
	// berthLoginFile is berth's own: where this user's docker login is, so that the
	// CLI needs to know nothing of credentials.
	o := engine.PullOptions{Ref: q.text("fromImage"), Platform: q.text("platform"), LoginFile: q.text("berthLoginFile")}
	if f := o.LoginFile; f != "" && !filepath.IsAbs(f) {
		return invalid("berthLoginFile is not an absolute path: %.200q", f)
	}
	if q.text("fromSrc") != "" || o.Ref == "" {
		return invalid("fromImage is missing: only pulling is supported, not importing")
	}
	if tag := q.text("tag"); tag != "" {
		sep := ":"
		if strings.Contains(tag, ":") { // a digest
			sep = "@"
		}
		o.Ref += sep + tag
	}
	if h := r.Header.Get(registry.AuthHeader); h != "" {
		auth, err := authconfig.Decode(h)
		if err != nil {
			return invalid("header %s: %v", registry.AuthHeader, err)
		}
		o.Auth = auth
	}
	if q.err != nil {
		return q.err
	}
	p := newProgress(w)
	status := "Status: Image is up to date for "
	err := s.backend.ImagePull(r.Context(), o, func(m engine.ImageProgress) {
		if m.Total > 0 { // bytes are counted only of what was not here
			status = "Status: Downloaded newer image for "
		}
		p.send(progressMessage(m))
	})
	if err == nil {
		p.send(jsonstream.Message{Status: status + o.Ref})
	}
	return p.end(err)
}

// progressMessage is what docker's progress display understands: one line an id.
func progressMessage(m engine.ImageProgress) jsonstream.Message {
	out := jsonstream.Message{ID: m.ID, Status: m.Status}
	if m.Total > 0 {
		out.Progress = &jsonstream.Progress{Current: m.Current, Total: m.Total}
	}
	return out
}

func (s *Server) imageLoad(w http.ResponseWriter, r *http.Request, _ vars) error {
	p := newProgress(w)
	quiet := queryOf(r).flag("quiet")
	names, err := s.backend.ImageLoad(r.Context(), r.Body, func(m engine.ImageProgress) {
		if !quiet {
			p.send(progressMessage(m))
		}
	})
	for _, n := range names {
		label := "Loaded image: "
		if strings.HasPrefix(n, "sha256:") {
			label = "Loaded image ID: "
		}
		p.send(jsonstream.Message{Stream: label + n + "\n"})
	}
	return p.end(err)
}

func (s *Server) imageInspect(w http.ResponseWriter, r *http.Request, v vars) error {
	info, err := s.backend.ImageInspect(r.Context(), v["name"])
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, info)
}

func (s *Server) imageHistory(w http.ResponseWriter, r *http.Request, v vars) error {
	list, err := s.backend.ImageHistory(r.Context(), v["name"])
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, list)
}

func (s *Server) imageTag(w http.ResponseWriter, r *http.Request, v vars) error {
	q := queryOf(r)
	target := q.text("repo")
	if tag := q.text("tag"); tag != "" {
		target += ":" + tag
	}
	if err := s.backend.ImageTag(r.Context(), v["name"], target); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (s *Server) imageRemove(w http.ResponseWriter, r *http.Request, v vars) error {
	list, err := s.backend.ImageRemove(r.Context(), v["name"], queryOf(r).flag("force"))
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, list)
}

func (s *Server) imagePrune(w http.ResponseWriter, r *http.Request, _ vars) error {
	q := queryOf(r)
	f := q.filters()
	if q.err != nil {
		return q.err
	}
	report, err := s.backend.ImagePrune(r.Context(), f)
	if err != nil {
		return err
	}
	s.log.Info("images pruned", "count", len(report.ImagesDeleted), "freed", units.HumanSize(float64(report.SpaceReclaimed)))
	return encode(w, http.StatusOK, report)
}
