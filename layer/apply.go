package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"berth/internal/linux"

	"github.com/containerd/errdefs"
)

// Options bound what a layer may make. Zero values are the defaults.
type Options struct {
	// MaxEntries bounds the number of tar entries. Default 4,194,304.
	MaxEntries int64
	// MaxSize bounds, in bytes, the tar stream, and on its own the sum of the
	// sizes of all files, holes counted. Default 1 TiB.
	MaxSize int64
	// AbsoluteNames takes a name with a leading "/" as one below the layer's
	// root, as some builders (buildpacks, ko) write it, instead of refusing it.
	AbsoluteNames bool
}

const (
	defaultMaxEntries = 4 << 20
	defaultMaxSize    = 1 << 40
	// copyBuffer is the size of the one buffer that file content passes.
	copyBuffer = 32 << 10
	// maxImplicit bounds the memory, in bytes of names, for Result.Implicit.
	maxImplicit = 16 << 20
)

// Result is what a layer made.
type Result struct {
	// Entries is the number of tar entries.
	Entries int64
	// Size is the sum of the sizes of all files in bytes, holes counted.
	Size int64
	// Implicit lists, sorted, the directories that have no entry of their own
	// ("." for the layer's root). They are 0755 and root's. A union shows the
	// topmost layer's owner and mode of a directory, so whoever knows the
	// layers below should give them theirs.
	Implicit []string
}

// Apply unpacks the tar stream r into dir, an empty directory that nobody else
// uses. It reads r to its end. On error dir holds a part of the layer and is
// to be removed. It uses memory that does not grow with the layer, except for
// Result.Implicit.
func Apply(ctx context.Context, dir *os.File, r io.Reader, opts Options) (Result, error) {
	if opts.MaxEntries == 0 {
		opts.MaxEntries = defaultMaxEntries
	}
	if opts.MaxSize == 0 {
		opts.MaxSize = defaultMaxSize
	}
	in := &meter{ctx: ctx, r: r, left: opts.MaxSize}
	dirs, err := newDirCache(dir)
	if err != nil {
		return Result{}, err
	}
	x := &extractor{
		in: in, tr: tar.NewReader(in), opts: opts, dirs: dirs,
		implicit:        map[string]struct{}{".": {}},
		buf:             make([]byte, copyBuffer),
		inUserNamespace: linux.InUserNamespace(),
	}
	err = x.run()
	if err == nil {
		x.res.Implicit = x.listImplicit()
	}
	// Closing gives the directories their times, so it comes after all else.
	if err = errors.Join(err, dirs.close()); err != nil {
		return Result{}, err
	}
	return x.res, nil
}

// extractor is one run of Apply.
type extractor struct {
	in   *meter
	tr   *tar.Reader
	opts Options
	dirs *dirCache
	buf  []byte
	res  Result

	implicit      map[string]struct{}
	implicitBytes int
	links         int // symbolic links passed by the entry at hand

	inUserNamespace bool
}

func (x *extractor) run() error {
	for {
		hdr, err := x.tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // cleanName judges names
			return readError(err)
		}
		x.res.Entries++
		if x.res.Entries > x.opts.MaxEntries {
			return limit("layer has more than %d entries", x.opts.MaxEntries)
		}
		if err := x.entry(hdr); err != nil {
			return fmt.Errorf("layer entry %.200q: %w", hdr.Name, err)
		}
	}
	// What follows the end mark belongs to the stream that the caller hashes.
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{x.in}, x.buf); err != nil {
		return readError(err)
	}
	return nil
}

// listImplicit returns the directories made without an entry that are still
// there: a later entry may have replaced one, or one above it.
func (x *extractor) listImplicit() []string {
	var list []string
	for path := range x.implicit {
		f, err := linux.OpenBeneath(x.dirs.root.f, path, linux.OPath|syscall.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		_ = f.Close() // O_PATH: nothing to flush
		list = append(list, path)
	}
	slices.Sort(list)
	return list
}

// readError says what a failure to read the stream means for the layer.
func readError(err error) error {
	switch {
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return refuse("layer is not a tar archive or is damaged: %w", err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse("layer is cut short: %w", err)
	}
	return fmt.Errorf("read layer: %w", err)
}

// meter passes on r until the stream is too long or the context ends.
type meter struct {
	ctx  context.Context //nolint:containedctx // an io.Reader has no other way to learn of it; lives as long as Apply
	r    io.Reader
	left int64
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.canceled(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	if m.left -= int64(n); m.left < 0 {
		return 0, limit("layer is larger than allowed")
	}
	return n, err
}

// canceled returns why the context ended, if it did.
func (m *meter) canceled() error {
	if m.ctx.Err() == nil {
		return nil
	}
	return context.Cause(m.ctx)
}

// refusal is an error of the layer's author, in one class of errdefs.
type refusal struct {
	err   error
	class error
}

func (e *refusal) Error() string   { return e.err.Error() }
func (e *refusal) Unwrap() []error { return []error{e.err, e.class} }

func refuse(format string, args ...any) error {
	return &refusal{err: fmt.Errorf(format, args...), class: errdefs.ErrInvalidArgument}
}

func limit(format string, args ...any) error {
	return &refusal{err: fmt.Errorf(format, args...), class: errdefs.ErrResourceExhausted}
}
