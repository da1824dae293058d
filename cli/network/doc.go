// Package network holds the commands about networks, a file each.
//
// Level: L4, a subroom of cli.
// Owns: network create, ls, inspect, rm, connect, disconnect, prune, capture, explain.
// May import: the subrooms of cli that commands are made of, pflag, the cheap packages of moby/moby/api/types.
// Must not know: which subnets are free, what a driver can do; the daemon does.
package network
