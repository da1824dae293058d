// Package testsuite checks the contract of package snapshot.
//
// Level: L1, imported by tests only.
// Owns: the tests that every snapshot.Snapshotter passes.
// May import: snapshot, internal/linux, internal/testutil, opencontainers/go-digest.
// Must not know: any implementation.
package testsuite
