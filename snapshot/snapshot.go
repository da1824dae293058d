package snapshot

import (
	"context"
	"io"
	"os"

	"berth/internal/linux"

	"github.com/opencontainers/go-digest"
)

// Snapshotter is the whole contract. It is safe for concurrent use.
type Snapshotter interface {
	Layers
	Unions
}

// Layers keeps unpacked layers by chain id.
type Layers interface {
	// Has says whether the layer is unpacked and durable.
	Has(chain digest.Digest) bool
	// Unpack unpacks blob, a layer tar as it was distributed, as the topmost
	// layer of chain, whose others are unpacked (errdefs.ErrFailedPrecondition
	// if not). A content whose digest is not diffID is an errdefs.ErrDataLoss.
	// If the layer is there already blob is not read.
	Unpack(ctx context.Context, chain []digest.Digest, diffID digest.Digest, blob io.Reader) error
	// Size is the space on disk that the layer's files take, in bytes.
	Size(chain digest.Digest) (int64, error)
	// Remove deletes a layer. Removing what is not there is no error.
	Remove(ctx context.Context, chain digest.Digest) error
	// List names every unpacked layer, in no order.
	List() ([]digest.Digest, error)
}

// Unions makes trees of layers.
type Unions interface {
	// Prepare returns the union of a chain and the container's writable layer,
	// which is made empty if it is not there.
	Prepare(ctx context.Context, container string, chain []digest.Digest) (linux.Overlay, error)
	// View returns the read-only union of a chain.
	View(chain []digest.Digest) (linux.Overlay, error)
	// Usage is the space on disk that the container's writable layer takes, in
	// bytes; os.ErrNotExist if it has none.
	Usage(container string) (int64, error)
	// Discard deletes the container's writable layer, which no mount uses any
	// more. Discarding what is not there is no error.
	Discard(ctx context.Context, container string) error
}

// Unpack fills dir, an empty directory, from a layer blob as it was
// distributed, and writes the plain tar to plain. It returns the directories
// that the layer passes through without saying anything of them (their owner
// and mode are those of the layers below), as paths relative to dir. Package
// layer has one.
type Unpack func(ctx context.Context, dir *os.File, blob io.Reader, plain io.Writer) (implicit []string, err error)
