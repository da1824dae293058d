// Package launch finds berthd and starts it when none runs.
//
// Level: L4, a subroom of cli.
// Owns: where the socket is, starting berthd once among racing commands, the words for why it cannot be reached.
// May import: cli/client, the standard library.
// Must not know: commands, the API's resources.
package launch
