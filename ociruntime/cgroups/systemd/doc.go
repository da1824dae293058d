// Package systemd has systemd make and remove a container's cgroup: a transient
// scope unit that is delegated to us.
//
// It speaks the small part of D-Bus that this takes, over systemd's own
// socket or a bus: no D-Bus library starts in under 0.1 ms.
//
// Level: R.
// Owns: the unit's name and place, its properties, the wire.
// May import: internal/linux, ociruntime/cgroups/limit, ociruntime/cgroups/devicerule, runtime-spec, errdefs.
// Must not know: where cgroups are mounted, how a container's process is started.
package systemd
