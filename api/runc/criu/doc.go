// Package criu holds the commands that write containers to disk and back.
//
// Level: L4, a subroom of api/runc.
// Owns: these commands' flags.
// May import: api/runc/command, ociruntime/standalone.
// Must not know: the other commands.
package criu
