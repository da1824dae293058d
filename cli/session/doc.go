// Package session joins the caller's terminal and streams to a process in a
// container, and puts everything back whatever happens.
//
// Level: L4, a subroom of cli.
// Owns: raw mode and its restoring, copying in both directions, the detach keys, window sizes, signals.
// May import: cli/client, cli/command, moby/term, moby/moby/api/pkg/stdcopy.
// Must not know: flags, which command it serves.
//
// The terminal is restored on every way out: the end of the session, an error, a
// panic in any goroutine of it, SIGTERM and SIGHUP, the daemon's death. Only
// SIGKILL of berth itself leaves a terminal raw, as it does for every program.
package session
