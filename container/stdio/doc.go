// Package stdio joins a process's standard files to its log and to the clients
// that are attached.
//
// Level: L2, a subroom of container.
// Owns: the daemon's ends of a process's pipes or terminal while it runs.
// May import: the standard library.
// Must not know: containers, the log's format, the HTTP API.
//
// # Life
//
// A [Hub] lives as long as its container. Clients attach before or during a
// run; Start gives the hub the files of a run and begins to read; Drain reads
// what is left after the process has ended; End tells the clients.
//
// # Slow clients
//
// Every client has a queue of at most queueLimit bytes. When it is full the
// hub stops reading, so the process's next writes wait, as they would wait for
// a slow reader of a local pipe: "berth run IMAGE produce | consume" loses
// nothing. A client is dropped, with its queue, as soon as its connection is
// gone. When the process has ended nobody is waited for: the rest, at most what
// fits into two pipes, is queued beyond the limit, so a client that reads
// nothing can delay neither the exit nor a removal.
package stdio
