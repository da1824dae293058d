// Package document holds the commands that print or write a document: a
// config.json to start from, and what this runtime can do.
//
// Level: L4, a subroom of api/runc.
// Owns: these documents.
// May import: api/runc/command, ociruntime/bundle, ociruntime/cgroups,
// ociruntime/plan/mountoption and number, runtime-spec.
// Must not know: the other commands.
package document
