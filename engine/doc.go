// Package engine is what berth does: the verbs, a file each.
//
// Level: L3.
// Owns: the order of the steps of each verb; what of a container lives only in memory (streams, processes, execs).
// May import: everything below it.
// Must not know: HTTP, flags.
//
// A verb takes a container's verb lock, so one works on a container at a time;
// what watches a running container (monitor.go) changes its status without that
// lock, because stop holds it while it waits for the end. Locks are documented
// in package container; live.mu and Engine.mu come after all of those and are
// never held across I/O.
//
// Crash rule: a container's run directory (below Config.Run) is the intent to
// start it, made before anything else of the start and removed after everything
// else of the end; recover.go reads both sides when berthd starts.
package engine
