// Package progress pulls and loads images and shows how far it is, as docker does.
//
// Level: L4, a subroom of cli.
// Owns: the display of a stream of progress messages.
// May import: cli/client, cli/command, moby/moby/client/pkg/jsonmessage.
// Must not know: registries, layers.
package progress
