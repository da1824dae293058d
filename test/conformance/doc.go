// Package conformance runs the validation suite of opencontainers/runtime-tools
// with OCI runtimes, each under the same conditions.
//
// A program of the suite runs in a process of its own (stage.go) that has a
// mount namespace, adopts what the program and the runtime leave behind, names
// it and removes it. The suite is built outside of this module: nothing here
// depends on it.
//
// Level: L5, tests only.
// Owns: $BERTH_TEST_CACHE/conformance.
// May import: internal.
// Must not know: how any of the runtimes works.
package conformance
