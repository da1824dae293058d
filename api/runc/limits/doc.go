// Package limits holds the commands about what containers use: update, events.
//
// Level: L4, a subroom of api/runc.
// Owns: these commands' flags, and the documents of events.
// May import: api/runc/command, ociruntime/bundle, ociruntime/cgroups, internal/linux, runtime-spec, go-units.
// Must not know: the other commands.
package limits
