// Package content keeps blobs by digest, as an OCI image layout on disk.
//
// Level: L1.
// Owns: the directory it is opened on (by default /var/lib/berth/content).
// May import: internal/atomicfile, internal/linux, go-digest, image-spec, errdefs.
// Must not know: registries, layers on disk, platforms, what an image is called in a reference.
//
// # Layout
//
//	oci-layout            {"imageLayoutVersion":"1.0.0"}
//	index.json            the roots: one descriptor per image name (see [Store.Update])
//	blobs/sha256/<hex>    finished blobs: complete, verified, never changed
//	ingest/sha256-<hex>   the bytes so far of a blob whose digest is known; can be resumed
//	ingest/spool-*        bytes whose digest is not known yet; of no use after a crash
//
// Any tool that reads OCI image layouts reads this directory.
//
// # Life of a blob
//
// [Store.Ingest] opens the one writer of a digest; a second caller waits and
// then finds the blob there ([errdefs.ErrAlreadyExists]), or takes over the
// bytes the first one left. [Ingest.Commit] checks size and digest, makes the
// bytes durable and only then gives the blob its name. So a blob under blobs/
// is always whole, and may be named by a record as soon as Commit returned.
//
//	w, err := store.Ingest(ctx, desc)
//	if errdefs.IsAlreadyExists(err) { return nil }
//	defer w.Close()             // keeps unfinished bytes for the next attempt
//	... read from w.Offset() on, write to w ...
//	return w.Commit()
//
// A blob lives while index.json reaches it, through manifests and indexes, or
// the keep function of [Store.Sweep] names it. Nothing else is deleted, and a
// blob that was written but never named is found by the next sweep.
//
// # Locks
//
// One process opens a store at a time (berthd, which holds the lock of the
// data root). Inside it a Store is safe for concurrent use. mu guards the
// index and the table of writers and is never held while bytes are copied. A
// sweep may meet a blob that was committed a moment ago and is not named yet:
// who writes blobs makes his keep function name them before he looks whether
// they exist.
package content
