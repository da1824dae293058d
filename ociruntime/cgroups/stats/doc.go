// Package stats reads what the kernel has counted for a cgroup.
//
// Level: R.
// Owns: the files that hold counters, of cgroup v1 and v2, and what they mean.
// May import: internal/linux.
// Must not know: where cgroups are mounted, how they are made, other rooms.
package stats
