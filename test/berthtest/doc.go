// Package berthtest gives tests of the whole product a berth of their own: the
// real binaries, and a daemon with its own data root and run directory, so that
// tests run beside each other and beside a berth that the machine uses.
//
// Level: L5, tests only.
// Owns: building the binaries once, an instance's directories, its clean end.
// May import: the standard library, internal/testutil.
// Must not know: what the tests test.
package berthtest
