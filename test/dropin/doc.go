// Package dropin runs real engines with berth-oci as their runtime: Debian's
// Podman, Docker and containerd. Each engine has its sockets, data, configuration
// and state in a directory of the test's own.
//
// BERTH_DROPIN_RUNTIME is the path of another runtime to use instead of
// berth-oci, to tell what the runtime does from what the engine does.
// BERTH_DROPIN_ALL=1 runs the rare and slow cases too (make dropin sets it).
//
// Level: L5, tests only.
// Owns: what is known of the engines' command lines.
// May import: test/berthtest, internal.
// Must not know: the rooms of berth.
package dropin
