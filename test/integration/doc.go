// Package integration tests containers from the inside: specs as the engine
// makes them, run by the real runtime on the real kernel, with a shell in the
// container that says what it sees.
//
// Level: L5, tests only.
// Owns: the security regression tests of the runtime.
// May import: spec, ociruntime, internal.
// Must not know: the engine's internals.
package integration
