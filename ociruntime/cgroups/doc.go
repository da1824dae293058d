// Package cgroups bounds and counts what a container uses: control groups of
// version 1, version 2, and both at once (hybrid), through the file system.
//
// Level: R.
// Owns: the container's directories in every cgroup hierarchy and what is written there.
// May import: internal/linux, internal/cleanup, its subrooms, runtime-spec, errdefs.
// Must not know: how a process is started, images, the Docker API, other ociruntime rooms.
//
// A cgroup is named by one absolute path, "/berth/<id>", in all hierarchies.
// [Create] makes its directories and sets every limit while no process is
// inside; [Cgroup.Joins] says how the new process gets in; [Open] finds the
// cgroup again later, by its path alone, because nothing about it is stored
// anywhere but in the kernel. [Cgroup.Delete] removes it.
//
// [Place] and [Cgroup.Make] are Create in two parts and as runc does it: the path
// may be relative, and what is there already is used. [Cgroup.Record], asked
// for between the two, is what to store to find it again.
//
//	cg, err := cgroups.Create(ctx, "/berth/"+id, spec.Linux.Resources)
//	...start a process that joins through cg.Joins()...
//	stats, err := cg.Stats()
//	oom, err := cg.OOMKilled()
//	err = cg.Kill(ctx)
//	err = cg.Delete(ctx)
//
// A limit that this host cannot apply is a [LimitError], never ignored.
//
// # Joining
//
// Writing a pid into cgroup.procs takes the kernel's lock over all thread groups,
// and the first such write costs a grace period of 6 to 10 ms. Two ways avoid
// it (Linux 5.5): a process of one thread that writes "0" for itself into
// the tasks file of a version 1 hierarchy, and clone3(2) with
// CLONE_INTO_CGROUP for version 2. Joins gives exactly these. All ten
// hierarchies of a hybrid host together then cost 0.1 ms.
package cgroups
