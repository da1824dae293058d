// Package request reads what is asked of a network, and refuses what berth cannot
// serve at all.
//
// Level: L2, a subroom of network.
// Owns: the rules for names, drivers and what belongs to a cluster; the options of networks.
// May import: network/bridge, network/lan, network/rate, containerd/errdefs, moby/moby/api.
// Must not know: which networks there are, what the host has.
package request

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

const (
	maxLabels   = 1000
	maxNameSize = 128
)

// CheckName says whether name may name a network: letters, digits, "_", "." and
// "-", the first a letter or digit. Class InvalidArgument.
func CheckName(name string) error {
	ok := name != "" && len(name) <= maxNameSize
	for i, c := range []byte(name) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && strings.IndexByte("_.-", c) >= 0)
	}
	if ok {
		return nil
	}
	return invalid("invalid network name %.80q: use at most %d of [a-zA-Z0-9_.-], the first a letter or digit", name, maxNameSize)
}

// Check refuses what a network on one machine cannot be. Class InvalidArgument; PermissionDenied for another network of
// the host, or none.
func Check(r network.CreateRequest) error {
	switch r.Driver {
	case "", "bridge", "default", "macvlan", "ipvlan":
	case "host", "null", "none":
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("there is only one %q network: join it with --network %s", r.Driver, r.Driver))
	default:
		return invalid("network driver %q is unknown: use bridge, macvlan or ipvlan", r.Driver)
	}
	switch {
	case r.Scope != "" && r.Scope != "local":
		return invalid("network scope %q is not supported: only local is", r.Scope)
	case r.Ingress, r.ConfigOnly, r.ConfigFrom != nil && r.ConfigFrom.Network != "":
		return invalid("ingress and config networks belong to a cluster, which berth is not")
	case len(r.Labels) > maxLabels:
		return invalid("the network has %d labels: at most %d are kept", len(r.Labels), maxLabels)
	case r.IPAM != nil && r.IPAM.Driver != "" && r.IPAM.Driver != "default":
		return invalid("IPAM driver %q is unknown: leave it out", r.IPAM.Driver)
	case r.IPAM != nil && len(r.IPAM.Options) > 0:
		return invalid("IPAM option %q is unknown", slices.Sorted(maps.Keys(r.IPAM.Options))[0])
	}
	return nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
