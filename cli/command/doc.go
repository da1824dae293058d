// Package command says what a command of berth is and what it is given.
//
// Level: L4, a subroom of cli.
// Owns: the type of a command, its streams and settings, exit codes and usage errors.
// May import: cli/client, cli/launch, pflag, moby/term.
// Must not know: any single command.
//
// A command is declared by a function that fills in a [Command]; its flags are
// only defined when it is the one that runs ([Command.Setup]), so a start of
// berth pays for one command's flags and not for seven hundred.
package command
