// Package linux speaks the kernel's words to the other rooms: files, mounts,
// namespaces, pidfds, safe paths and feature probes.
//
// Level: L0.
// Owns: every direct use of golang.org/x/sys/unix.
// May import: the standard library, golang.org/x/sys/unix.
// Must not know: images, containers, the engine, or any other berth package.
//
// An open file is an *os.File, always close-on-exec. A path inside a root file
// system is never a string that is joined: it is opened through a file of the
// root with [OpenInRoot].
package linux
