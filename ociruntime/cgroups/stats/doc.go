// Package stats reads what the kernel has counted for a cgroup, and waits for it
// to kill processes there.
//
// Level: R.
// Owns: the files that hold counters, of cgroup v1 and v2, and what they mean.
// May import: internal/linux, internal/linux/notify, errdefs.
// Must not know: where cgroups are mounted, how they are made, other rooms.
package stats
