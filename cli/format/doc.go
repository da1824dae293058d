// Package format prints lists and single answers: docker's tables, Go templates,
// JSON, sizes, times and ports as people write them.
//
// Level: L4, a subroom of cli.
// Owns: the meaning of --format, column alignment, filters given as NAME=VALUE.
// May import: text/template, go-units, cli/command.
// Must not know: what the columns are, the API.
package format
