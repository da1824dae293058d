// Package command says what a command of berth-oci is and what it is given.
//
// Level: L4, a subroom of api/runc.
// Owns: the types of a command and its flags, the log, what is needed of the runtime.
// May import: internal/jsonscan, ociruntime/standalone, ociruntime/cgroups, runtime-spec.
// Must not know: any single command.
//
// A command's flags are defined only when it is the one that runs
// ([Command.Setup]).
package command
