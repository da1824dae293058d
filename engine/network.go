package engine

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

var errNoNetworks = errdefs.ErrNotImplemented.WithMessage("networks are not there yet")

// NetworkCreate makes a network. A bad request is of class InvalidArgument, a
// name that is taken or a subnet in use of class Conflict.
func (e *Engine) NetworkCreate(context.Context, network.CreateRequest) (network.CreateResponse, error) {
	return network.CreateResponse{}, errNoNetworks
}

// NetworkList lists networks; the filters are driver, id, label, name, type and dangling.
func (e *Engine) NetworkList(context.Context, Filters) ([]network.Inspect, error) {
	return nil, errNoNetworks
}

// NetworkInspect tells about the network that ref names: an id, a prefix of one, or a name.
func (e *Engine) NetworkInspect(context.Context, string) (network.Inspect, error) {
	return network.Inspect{}, errNoNetworks
}

// NetworkRemove removes a network. One that a container is in is of class Conflict,
// a predefined one of class PermissionDenied.
func (e *Engine) NetworkRemove(context.Context, string) error { return errNoNetworks }

// NetworkConnect puts a container, running or not, into a network.
func (e *Engine) NetworkConnect(context.Context, string, network.ConnectRequest) error {
	return errNoNetworks
}

// NetworkDisconnect takes a container out of a network.
func (e *Engine) NetworkDisconnect(context.Context, string, network.DisconnectRequest) error {
	return errNoNetworks
}

// NetworkPrune removes the networks that no container is in.
func (e *Engine) NetworkPrune(context.Context, Filters) (network.PruneReport, error) {
	return network.PruneReport{}, errNoNetworks
}
