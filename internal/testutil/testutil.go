// Package testutil holds what tests of several rooms need.
//
// Level: L0, imported by tests only.
// Owns: the -test.root switch and small helpers for real kernel objects.
// May import: the standard library.
// Must not know: any other berth package.
package testutil

import (
	"os"
	"testing"
)

// RequireRoot skips the test unless BERTH_TEST_ROOT=1 is set (make test sets
// it), and fails it if that is set but the process is not root.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Getenv("BERTH_TEST_ROOT") == "" {
		t.Skip("needs root: set BERTH_TEST_ROOT=1 (make test does)")
	}
	if os.Geteuid() != 0 {
		t.Fatal("BERTH_TEST_ROOT is set but this is not root")
	}
}
