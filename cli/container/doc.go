// Package container holds the commands about containers, a file each.
//
// Level: L4, a subroom of cli.
// Owns: run, create, start, stop, restart, kill, pause, unpause, rm, rename, update, exec, attach, wait, ps, logs, inspect, top, stats, port, explain.
// May import: the subrooms of cli that commands are made of, pflag.
// Must not know: how the daemon does what it is asked.
package container
