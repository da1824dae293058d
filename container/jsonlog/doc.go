// Package jsonlog writes and reads a container's log in Docker's json-file
// format, so that log shippers made for it work:
//
//	{"log":"hello\n","stream":"stdout","time":"2026-01-02T03:04:05.678901234Z"}
//
// Level: L2, a subroom of container.
// Owns: the files of containers/<id>/logs, rotation.
// May import: errdefs, go-units.
// Must not know: containers, the HTTP API.
//
// A line longer than 16 KiB is stored in parts; only the last ends with "\n",
// as Docker does. A last line without "\n" is stored when the stream ends.
//
// The log of one run of a container is bounded: when the file reaches MaxSize
// it is renamed to NAME.1, that to NAME.2, and so on up to MaxFiles files.
package jsonlog
