// Package layer turns the tar of one image layer into a directory that
// overlayfs can use as a lower layer.
//
// Level: L1.
// Owns: the layer tar format: entries, whiteouts, compression.
// May import: internal/linux, containerd/errdefs, klauspost/compress.
// Must not know: digests, chain ids, where layers are kept, images.
//
// A layer comes from a stranger. [Apply] treats it so: every name is resolved
// by file descriptor below the layer's own directory and never through a
// symbolic link that leaves it, every amount is bounded ([Options]), and a
// tar that breaks a rule is refused with an error that names the entry and is
// an errdefs.ErrInvalidArgument or, for a limit, errdefs.ErrResourceExhausted.
//
// # What becomes what
//
// A layer is unpacked into a directory of its own, so it says what it removes
// from the layers below in overlayfs's words:
//
//	dir/.wh.name       a character device 0:0 at dir/name
//	dir/.wh..wh..opq   xattr trusted.overlay.opaque=y on dir, user.overlay.opaque=y
//	                   in a user namespace
//	other .wh..wh.*    nothing (bookkeeping of AUFS)
//
// A whiteout speaks of the layers below only: beside an entry of the same
// name in this layer, in any order, it makes a directory opaque and says
// nothing of a file, which hides what is below anyway.
//
// Owners, modes with all twelve bits, times to the nanosecond, devices, hard
// links, holes and names that are not UTF-8 are kept as they are in the tar.
// Ids are kept too: one above 65535 shows as nobody (65534) in a container with
// a user namespace of its own, and as itself with --userns=host. Extended
// attributes are kept if they are user.*, security.capability or a POSIX ACL;
// others, trusted.overlay.* and user.overlay.* among them, would let an image
// speak to the host's kernel and are left out. So are devices in a user namespace.
//
// # Names
//
// A name is refused if it has a ".." component, starts with "/" (see
// [Options.AbsoluteNames]; "/" alone is the layer's root) or passes a
// symbolic link that is absolute or climbs out of the layer. A relative
// symbolic link that stays inside is followed: lib/x lands in usr/lib/x where
// this layer has lib -> usr/lib. A directory on the way that has no entry of
// its own is made, and listed in [Result.Implicit], because its owner and mode
// are those of the layers below.
package layer
