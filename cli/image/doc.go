// Package image holds the commands about images, a file each.
//
// Level: L4, a subroom of cli.
// Owns: images, pull, load, tag, rmi.
// May import: the subrooms of cli that commands are made of, pflag.
// Must not know: registries, layers, how references are parsed; the daemon does.
package image
