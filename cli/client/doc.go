// Package client speaks the Docker Engine API to berthd over its unix socket.
//
// Level: L4, a subroom of cli.
// Owns: the HTTP/1.1 exchange, taking over a connection (hijack), the JSON of requests and answers that the commands use.
// May import: the standard library without net/http, errdefs, the cheap packages of moby/moby/api/types.
// Must not know: flags, terminals, the engine.
//
// Two costs decide its shape. Linking net/http adds 0.3 ms to every start of
// berth, which is more than the whole budget of package initialisation; what the
// API needs of HTTP/1.1 is one request and one answer on a unix socket. Linking
// moby/moby/api/types/container adds 0.25 ms, because it reaches go-digest,
// which compiles a regular expression when it is initialised. The few structures
// of that package that we send are therefore declared here with the same field
// names, and a test decodes what they encode into moby's own types, strictly.
package client
