// Package request turns the flags of run and create into the request that
// berthd gets.
//
// Level: L4, a subroom of cli.
// Owns: the names, meanings and checks of those flags, with docker's meanings.
// May import: cli/client, cli/command, pflag, go-units, the cheap packages of moby/moby/api/types.
// Must not know: the daemon's answers, terminals.
//
// A value is checked here only for its form; what the host can apply is the
// daemon's to say, so that every client of the API is told the same.
package request
