// Package runc is the command line of berth-oci: runc's, for containerd,
// Docker, Podman, CRI-O and people.
//
// Level: L4.
// Owns: the table of commands, the flags before the command, help, shell
// completion, exit codes.
// May import: its subrooms, ociruntime/standalone.
// Must not know: how a container is made; it is asked of ociruntime/standalone.
package runc
