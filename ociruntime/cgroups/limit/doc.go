// Package limit turns the limits of the OCI runtime spec into what is to be
// written to which control file of a host's cgroups.
//
// Level: R.
// Owns: what each limit of linux.resources means for cgroup v1 and v2, which values are refused, and what a refusal says.
// May import: runtime-spec, errdefs.
// Must not know: where cgroups are mounted, other rooms.
package limit
