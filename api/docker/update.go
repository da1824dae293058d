package docker

import (
	"bytes"
	"encoding/json"
	"net/http"

	"berth/engine/networks"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// updateBody is the body of /containers/{id}/update. The first two are berth's own, what
// docker has there is refused.
type updateBody struct {
	PublishPorts   network.PortMap
	UnpublishPorts []networks.PublishedPort
	container.UpdateConfig
}

func (s *Server) containerUpdate(w http.ResponseWriter, r *http.Request, v vars) error {
	var body updateBody
	if err := decodeBody(w, r, &body, false); err != nil {
		return err
	}
	asked, err := json.Marshal(body.UpdateConfig)
	if err != nil {
		return err
	}
	nothing, err := json.Marshal(container.UpdateConfig{})
	if err != nil {
		return err
	}
	if !bytes.Equal(asked, nothing) {
		return errdefs.ErrNotImplemented.WithMessage("limits and restart policies of a container cannot be changed: make it again with others; its published ports can (berth update)")
	}
	u := networks.PortUpdate{Publish: body.PublishPorts, Unpublish: body.UnpublishPorts}
	if err := s.backend.ContainerPorts(r.Context(), v["id"], u); err != nil {
		return err
	}
	return encode(w, http.StatusOK, container.UpdateResponse{Warnings: []string{}})
}
