// Package lan is what networks of the drivers macvlan and ipvlan have apart from
// bridges: their options, who may share a parent, and interfaces that the host has
// no end of.
//
// Level: L2, a subroom of network.
// Owns: the options' names; the open namespaces of running containers.
// May import: network/bridge, internal/linux/netns, containerd/errdefs.
// Must not know: records of networks, addresses in use, how containers start.
package lan

import (
	"fmt"
	"strings"

	"berth/network/bridge"

	"github.com/containerd/errdefs"
)

// The options of a network, as docker names them.
const (
	OptParent   = "parent"
	macvlanMode = "macvlan_mode"
	ipvlanMode  = "ipvlan_mode"
	ipvlanFlag  = "ipvlan_flag"
)

// Is says whether networks of a driver are on no bridge of ours, but at what a
// device of the host is plugged into.
func Is(driver string) bool { return driver == bridge.Macvlan || driver == bridge.Ipvlan }

// New is how the devices of a network are made if nothing else is said.
func New(driver, id string) *bridge.Lan {
	if driver == bridge.Macvlan {
		return &bridge.Lan{Kind: driver, Mode: "bridge", Parent: "dm-" + id[:12]} // docker's names
	}
	return &bridge.Lan{Kind: driver, Mode: "l2", Flag: "bridge", Parent: "di-" + id[:12]}
}

// Set takes an option. Class InvalidArgument; mtu is the name of one that the caller knows.
func Set(l *bridge.Lan, key, value, mtu string) error {
	switch {
	case key == OptParent && value == "": // none
		return nil
	case key == OptParent:
		l.Parent = value
		return bridge.CheckName(value)
	case key == macvlanMode && l.Kind == bridge.Macvlan, key == ipvlanMode && l.Kind == bridge.Ipvlan:
		l.Mode = value
		return l.Check()
	case key == ipvlanFlag && l.Kind == bridge.Ipvlan:
		l.Flag = value
		return l.Check()
	}
	known := []string{OptParent, macvlanMode, mtu}
	if l.Kind == bridge.Ipvlan {
		known = []string{OptParent, ipvlanMode, ipvlanFlag, mtu}
	}
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
		"unknown option %.80q of a network of driver %s: known are %s", key, l.Kind, strings.Join(known, ", ")))
}

// Share says why a network cannot be made beside another one that is there. Class Conflict.
func Share(a, b bridge.Lan, other string) error {
	why := ""
	switch {
	case a.Parent != b.Parent:
		return nil
	case a.Kind != b.Kind:
		why = fmt.Sprintf("is of %s network %s, and Linux has macvlans or ipvlans on a device, not both", b.Kind, other)
	case a.Mode == "passthru" || b.Mode == "passthru":
		why = fmt.Sprintf("is of network %s, and mode passthru takes a parent alone", other)
	case a.Kind == bridge.Ipvlan && a != b:
		why = fmt.Sprintf("is of network %s in mode %s %s, and Linux has one mode for all ipvlans of a device", other, b.Mode, b.Flag)
	default:
		return nil
	}
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("parent %s %s: choose another parent", a.Parent, why))
}
