// Package container holds the commands that make, end and show containers.
//
// Level: L4, a subroom of api/runc.
// Owns: these commands' flags and output.
// May import: api/runc/command, ociruntime/standalone, ociruntime/bundle, internal/jsonscan, internal/linux, runtime-spec.
// Must not know: the other commands.
package container
