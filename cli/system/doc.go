// Package system holds the commands about berth itself.
//
// Level: L4, a subroom of cli.
// Owns: version, info.
// May import: the subrooms of cli that commands are made of, pflag.
// Must not know: how the daemon finds out what it tells.
package system
