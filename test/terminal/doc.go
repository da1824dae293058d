// Package terminal tests what only a terminal shows: raw mode, sizes, keys,
// detaching, and that the terminal is as before after every way out. The
// terminal is a real one, tmux's.
//
// Level: L5, tests only.
// Owns: driving tmux.
// May import: test/berthtest.
// Must not know: how berth is made inside.
package terminal
