// Package overlay keeps layers and writable layers as directories that
// overlayfs joins.
//
// Level: L1.
// Owns: layers/, and upper/ and work/ of containers/<id>/ under the data root.
// May import: snapshot, internal/linux, internal/cleanup, internal/atomicfile, opencontainers/go-digest.
// Must not know: how a layer tar is read, images, containers' records.
//
// # On disk
//
//	layers/<chain id>/         a layer; 64 hex digits; never changed
//	layers/.tmp-*/             being unpacked or removed; deleted by Open
//	layers/empty/{0,1}/        stand in where overlayfs wants more layers than there are
//	containers/<id>/upper/     the writable layer: what the container changed
//	containers/<id>/work/      overlayfs's own, on the same file system
//
// All directories above a layer are 0700: set-user-id programs and device
// nodes of images are out of reach of the host's users. A layer's own top
// directory has the mode that the image gives "/".
//
// A layer is unpacked under a temporary name, compared with its diff id,
// written to disk (syncfs), and only then renamed to its chain id.
package overlay
