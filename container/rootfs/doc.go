// Package rootfs looks into a container's root file system from the host: user
// files, the working directory, and why a command cannot be executed.
//
// Level: L2, a subroom of container.
// Owns: what the host reads of an image's files, and the words for a command that does not start.
// May import: internal/linux.
// Must not know: how the root is mounted; the engine.
//
// Everything is opened through a file of the root with openat2 RESOLVE_IN_ROOT,
// nothing by a joined path, and only regular files are read, to a limit: a
// container may have put a FIFO, a device, a link to the host or a file without
// end in the place. Nothing of the root is ever executed or loaded.
package rootfs
