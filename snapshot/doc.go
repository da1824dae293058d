// Package snapshot is the contract of what keeps unpacked layers and the
// writable layers of containers, and shows them as one tree.
//
// Level: L1.
// Owns: the words of the contract; its tests are in snapshot/testsuite.
// May import: internal/linux, opencontainers/go-digest.
// Must not know: how a layer tar is read, images, containers' records.
//
// # Layers
//
// A layer is known by its chain id, which names it together with all layers
// below it: sha256 of the lower one's chain id, a space and its own diff id
// (the digest of its plain tar); the bottom layer's chain id is its diff id. A
// chain is a list of chain ids, bottom first.
//
//	for i, diff := range diffIDs {
//		err := s.Unpack(ctx, chain[:i+1], diff, blobs[i])
//	}
//
// Unpack is done once for each chain id, however many images have it and
// however many callers ask at the same time. It compares the content with the
// diff id before the layer gets its name, and the layer is on disk when it
// returns: a layer that [Layers.Has] is whole, also after a power cut. It is
// never changed afterwards. A failed Unpack leaves nothing.
//
// # Containers
//
// Prepare gives a container its writable layer above a chain; what it returns
// is for the runtime to mount:
//
//	union, err := s.Prepare(ctx, id, chain)
//	...
//	err = s.Discard(ctx, id)
//
// Nothing is copied: the files of the layers are shared by all containers, on
// disk and in memory, and a file is copied up when a container first writes to
// it. Prepare may be repeated (after a restart) and keeps what the container
// wrote. Discard may be repeated too.
//
// # What callers may not assume
//
// Nothing protects a layer in use: who removes layers knows which are needed,
// and removes those above before those below. Files keep the ids the image
// gave them; the runtime's idmapped mount turns them into the container's. One
// process at a time may have a store open.
package snapshot
