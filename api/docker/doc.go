// Package docker serves the Docker Engine API over a unix socket.
//
// Level: L4.
// Owns: HTTP: routes, versions, bounds of requests, status codes, hijacked streams.
// May import: engine, container/..., image, internal/linux, moby/moby/api, moby/term.
// Must not know: how the engine does anything; files under the data root.
//
// A handler decodes, validates, calls one verb of the [Backend] and encodes.
// The table of routes is in routes.go; each resource has a file. Errors become
// status codes in errors.go and nowhere else.
//
// # Bounds
//
// A JSON body has at most 1 MiB, a header 64 KiB; a header that does not arrive
// within ten seconds ends its connection. A path must be in its canonical form:
// what two readers could take for two routes is refused. Unknown JSON fields are
// ignored, as Docker does: newer clients send them.
//
// # Beyond Docker
//
// GET /containers/{id}/explain and POST /berth/explain (body of
// /containers/create) answer text/plain. An error of a start carries
// "exitCode", 125 to 127, beside "message".
package docker
