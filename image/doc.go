// Package image knows images: their names, which platform of them fits this
// machine, how they come here (pull, load), and when they may go.
//
// Level: L2.
// Owns: what index.json of the content store says, which layers are unpacked for images.
// May import: content, registry, layer, snapshot, internal/*, distribution/reference, containerd/platforms, image-spec.
// Must not know: containers, networks, the API, how layers are mounted.
//
// # Terms
//
// The id of an image is the digest of its config, as in Docker. A chain id
// names a layer together with all layers below it (OCI image specification,
// "Layer ChainID"). A name is a repository with a tag; a digest reference is a
// repository with the digest of what a registry served, index or manifest.
// Both are kept as descriptors in the content store's index.json, with the
// full name in the annotation org.opencontainers.image.ref.name; they point to
// the manifest of the one platform that was chosen. A descriptor without that
// annotation keeps an image that lost its last name.
//
// An image is recorded only when its manifest, config and layers are durable
// in the content store and every layer is unpacked: what [Store.Get] returns
// can run. A kill in between leaves blobs and layers that the next attempt
// uses, or the next [Store.Sweep] deletes.
//
// # Hostile input
//
// Manifests, indexes, configs and archives come from strangers. Each is
// bounded, verified against its digest before it is parsed, and refused if two
// readers could understand it differently. Labels, annotations and history are
// data: nothing in berth acts on them.
//
// # Locks
//
// mu guards the pins (blobs and layers that work under way needs) and is held
// during a sweep, so that a pull pins first and then looks what exists. It is
// taken before the content store's lock. Pulls of one image share their work
// per blob (the content store has one writer per digest) and per layer.
package image
