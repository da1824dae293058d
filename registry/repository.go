package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"berth/internal/fault"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Repository is one repository of a registry. It is safe for concurrent use.
type Repository struct {
	name       string // domain/path
	host       string
	stall      time.Duration
	resolver   remotes.Resolver
	transports []*http.Transport
}

// Close closes idle connections. Blobs being read are not affected.
func (r *Repository) Close() {
	for _, t := range r.transports {
		t.CloseIdleConnections()
	}
}

// ref is the library's way to write a tag or a digest of this repository.
func (r *Repository) ref(object string) string {
	if strings.Contains(object, ":") {
		return r.name + "@" + object
	}
	return r.name + ":" + object
}

// quiet keeps the library from writing to berthd's log.
func quiet(ctx context.Context) context.Context {
	logger, _ := quietLogger()
	return log.WithLogger(ctx, logger)
}

// Resolve asks what a tag or digest is. ErrNotFound if the registry does not
// know it, ErrUnauthenticated or ErrPermissionDenied if it does not let us
// see it, ErrUnavailable if it cannot be reached.
func (r *Repository) Resolve(ctx context.Context, object string) (ocispec.Descriptor, error) {
	_, desc, err := r.resolver.Resolve(quiet(ctx), r.ref(object))
	if err != nil {
		return ocispec.Descriptor{}, r.explain(ctx, "image "+r.ref(object), err)
	}
	return desc, nil
}

// Manifest fetches a manifest or index of at most 4 MiB and verifies its
// digest before it returns a byte of it.
func (r *Repository) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size > maxManifestSize {
		return nil, fault.Errorf(errdefs.ErrOutOfRange, "manifest %s of %s has %d bytes, more than %d", desc.Digest, r.name, desc.Size, maxManifestSize)
	}
	body, err := r.Blob(ctx, desc, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxManifestSize+1))
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(data); got != desc.Digest {
		return nil, fault.Errorf(errdefs.ErrDataLoss, "manifest of %s has the wrong digest: expected %s, got %s", r.name, desc.Digest, got)
	}
	return data, nil
}

// Blob reads a blob from offset on. A connection that breaks or stalls is
// opened again where it ended, a few times. The bytes are not verified. The
// caller closes the body; cancelling ctx ends it.
func (r *Repository) Blob(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if len(desc.URLs) > 0 {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "blob %s of %s is to be fetched from another server (foreign layer): refused", desc.Digest, r.name)
	}
	if offset < 0 || offset > desc.Size {
		return nil, fault.Errorf(errdefs.ErrInvalidArgument, "blob %s: offset %d is outside its %d bytes", desc.Digest, offset, desc.Size)
	}
	ctx = quiet(ctx)
	fetcher, err := r.resolver.Fetcher(ctx, r.ref(desc.Digest.String()))
	if err != nil {
		return nil, err
	}
	return &body{repo: r, ctx: ctx, fetcher: fetcher, desc: desc, offset: offset}, nil
}

// Attempts without a byte of progress, and the pause before the second, which
// doubles.
const (
	maxAttempts = 5
	firstPause  = 100 * time.Millisecond
)

// errStalled ends a connection that brings nothing.
var errStalled = errors.New("the registry sends nothing any more")

// body is a blob being read.
type body struct {
	repo    *Repository
	ctx     context.Context // of the whole read: an io.Reader has no other way to get it
	fetcher remotes.Fetcher
	desc    ocispec.Descriptor
	offset  int64

	rc         io.ReadCloser   // nil between connections
	connection context.Context // of this connection
	cancel     context.CancelCauseFunc
	stall      *time.Timer
	failed     int  // attempts since the last progress
	whole      bool // the registry refuses ranges: read from the start
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for {
		if b.offset == b.desc.Size {
			return 0, io.EOF
		}
		n, err := b.readOnce(p)
		b.offset += int64(n)
		if n > 0 {
			b.failed = 0
			return n, nil // an error shows again on the next read
		}
		if err == nil {
			continue
		}
		b.disconnect()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if b.offset > 0 && !b.whole && refusesRange(err) {
			b.whole = true
			continue
		}
		if b.whole && refusesRange(err) {
			return 0, fault.Errorf(errdefs.ErrDataLoss, "blob %s: %s has only %d of its %d bytes: push the image again", b.desc.Digest, b.repo.name, b.offset, b.desc.Size)
		}
		b.failed++
		if context.Cause(b.ctx) != nil || b.failed >= maxAttempts || permanent(err) {
			return 0, b.repo.explain(b.ctx, "blob "+b.desc.Digest.String(), err)
		}
		if err := pause(b.ctx, firstPause<<(b.failed-1)); err != nil {
			return 0, err
		}
	}
}

func (b *body) readOnce(p []byte) (int, error) {
	if b.rc == nil {
		if err := b.connect(); err != nil {
			return 0, err
		}
	}
	b.stall.Reset(b.repo.stall)
	n, err := b.rc.Read(p)
	b.stall.Stop()
	return n, b.cause(err)
}

// cause tells a transfer that we broke off from one that the caller did: to
// the library both are a context that ended.
func (b *body) cause(err error) error {
	if err != nil && errors.Is(context.Cause(b.connection), errStalled) {
		return errStalled
	}
	return err
}

// connect prepares a new connection; the library sends the request with the
// first read.
func (b *body) connect() error {
	ctx, cancel := context.WithCancelCause(b.ctx)
	rc, err := b.fetcher.Fetch(ctx, b.desc)
	if err != nil {
		cancel(nil)
		return err
	}
	b.rc, b.connection, b.cancel = rc, ctx, cancel
	b.stall = time.AfterFunc(b.repo.stall, func() { cancel(errStalled) })
	return b.cause(b.skip())
}

// skip goes to the offset: by a range, or by reading what is not wanted.
func (b *body) skip() error {
	if b.offset == 0 {
		return nil
	}
	if b.whole {
		for left := b.offset; left > 0; {
			n, err := io.CopyN(io.Discard, b.rc, min(left, 1<<20))
			if err != nil {
				return err
			}
			left -= n
			b.stall.Reset(b.repo.stall)
		}
		return nil
	}
	s, ok := b.rc.(io.Seeker)
	if !ok {
		return errors.New("the registry client cannot resume")
	}
	_, err := s.Seek(b.offset, io.SeekStart)
	return err
}

func (b *body) disconnect() {
	if b.rc == nil {
		return
	}
	b.stall.Stop()
	b.cancel(nil)
	_ = b.rc.Close() // a connection that was only read from
	b.rc = nil
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.disconnect()
	return nil
}

// pause waits unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
