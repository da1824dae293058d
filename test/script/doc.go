// Package script tests sessions of the command line: each file of testdata is
// one, with the real berth and berthd.
//
// Level: L5, tests only.
// Owns: the sessions, and the words that their files add to testscript's.
// May import: test/berthtest, testscript.
// Must not know: how berth is made inside.
package script
