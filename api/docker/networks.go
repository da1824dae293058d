package docker

import (
	"net/http"

	"github.com/moby/moby/api/types/network"
)

// maxNetworks bounds the networks that a container is created in.
const maxNetworks = 64

// endpoints checks the networks of a create request's NetworkingConfig. A
// network without settings gets empty ones.
func endpoints(c *network.NetworkingConfig) (map[string]*network.EndpointSettings, error) {
	if c == nil {
		return nil, nil
	}
	if n := len(c.EndpointsConfig); n > maxNetworks {
		return nil, invalid("a container is to join %d networks: it can be in %d", n, maxNetworks)
	}
	for name, settings := range c.EndpointsConfig {
		if name == "" {
			return nil, invalid("NetworkingConfig.EndpointsConfig has a network without a name")
		}
		if settings == nil {
			c.EndpointsConfig[name] = &network.EndpointSettings{}
		}
	}
	return c.EndpointsConfig, nil
}

// networkList leaves out which containers are in the networks, as Docker does.
func (s *Server) networkList(w http.ResponseWriter, r *http.Request, _ vars) error {
	q := queryOf(r)
	f := q.filters()
	if q.err != nil {
		return q.err
	}
	list, err := s.backend.NetworkList(r.Context(), f)
	if err != nil {
		return err
	}
	out := make([]network.Summary, len(list))
	for i := range list {
		out[i] = network.Summary{Network: list[i].Network}
	}
	return encode(w, http.StatusOK, out)
}

func (s *Server) networkInspect(w http.ResponseWriter, r *http.Request, v vars) error {
	// Docker looks for networks of a swarm with scope=swarm: here there are none.
	if scope := queryOf(r).text("scope"); scope != "" && scope != "local" {
		return notFound("network %.80q not found: there is none of scope %.80q", v["id"], scope)
	}
	info, err := s.backend.NetworkInspect(r.Context(), v["id"])
	if err != nil {
		return err
	}
	if info.Containers == nil { // docker's client expects an object
		info.Containers = map[string]network.EndpointResource{}
	}
	return encode(w, http.StatusOK, info)
}

func (s *Server) networkCreate(w http.ResponseWriter, r *http.Request, _ vars) error {
	var req network.CreateRequest
	if err := decodeBody(w, r, &req, false); err != nil {
		return err
	}
	if req.Name == "" {
		return invalid("the network's name is missing")
	}
	created, err := s.backend.NetworkCreate(r.Context(), req)
	if err != nil {
		return err
	}
	return encode(w, http.StatusCreated, created)
}

func (s *Server) networkRemove(w http.ResponseWriter, r *http.Request, v vars) error {
	return done(w, s.backend.NetworkRemove(r.Context(), v["id"]))
}

func (s *Server) networkConnect(w http.ResponseWriter, r *http.Request, v vars) error {
	var req network.ConnectRequest
	if err := decodeBody(w, r, &req, false); err != nil {
		return err
	}
	if req.Container == "" {
		return invalid("the container to connect is missing")
	}
	if req.EndpointConfig == nil {
		req.EndpointConfig = &network.EndpointSettings{}
	}
	return okay(w, s.backend.NetworkConnect(r.Context(), v["id"], req))
}

func (s *Server) networkDisconnect(w http.ResponseWriter, r *http.Request, v vars) error {
	var req network.DisconnectRequest
	if err := decodeBody(w, r, &req, false); err != nil {
		return err
	}
	if req.Container == "" {
		return invalid("the container to disconnect is missing")
	}
	return okay(w, s.backend.NetworkDisconnect(r.Context(), v["id"], req))
}

func (s *Server) networkPrune(w http.ResponseWriter, r *http.Request, _ vars) error {
	q := queryOf(r)
	f := q.filters()
	if q.err != nil {
		return q.err
	}
	report, err := s.backend.NetworkPrune(r.Context(), f)
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, report)
}

// networkExplain answers with text, or with format=json.
func (s *Server) networkExplain(w http.ResponseWriter, r *http.Request, v vars) error {
	format := queryOf(r).text("format")
	if format != "" && format != "text" && format != "json" {
		return invalid("format %.80q is unknown: use text or json", format)
	}
	report, err := s.backend.NetworkExplain(r.Context(), v["id"])
	if err != nil {
		return err
	}
	if format == "json" {
		return encode(w, http.StatusOK, report)
	}
	return plain(w, report.Text(), nil)
}

// okay answers a verb that has no result and that Docker answers with 200.
func okay(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusOK)
	}
	return err
}
