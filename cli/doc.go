// Package cli is the berth command: it finds the command that was asked for,
// defines that one's flags, runs it, and turns its error into one line and an
// exit code.
//
// Level: L4.
// Owns: the table of commands, flags before the command, help, shell completion.
// May import: its subrooms, pflag.
// Must not know: the engine; everything is asked of berthd through cli/client.
package cli
