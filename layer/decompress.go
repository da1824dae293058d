package layer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Kind is how a layer is compressed.
type Kind string

// The kinds that the OCI image format has.
const (
	Plain Kind = "plain"
	Gzip  Kind = "gzip"
	Zstd  Kind = "zstd"
)

const (
	// chunkSize and chunks bound what is read ahead, in bytes and number.
	chunkSize = 256 << 10
	chunks    = 4
	// inputSize is read of the source at a time: little enough to stay in the
	// processor's cache until it is written.
	inputSize = 64 << 10
	// maxWindow bounds the memory of the zstd decoder: what the zstd command
	// accepts without --long=31.
	maxWindow = 128 << 20
	// maxRatio bounds the bytes out per byte in, once freeOutput bytes are out.
	// Deflate cannot exceed 1032.
	maxRatio   = 2000
	freeOutput = 1 << 30
)

// Decompress returns the plain content of r, whose compression it knows by the
// first bytes. Unless it is plain, a goroutine decompresses ahead of the
// reader; Close ends and joins it, and so waits for a Read of r that is under
// way: end that first (a network read by its context) if it may take long. r
// is not closed. A stream that swells beyond all sense is an
// errdefs.ErrResourceExhausted.
func Decompress(r io.Reader) (io.ReadCloser, Kind, error) {
	in := &counter{r: r}
	br := bufio.NewReaderSize(in, inputSize)
	magic, err := br.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", fmt.Errorf("read layer: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, "", refuse("layer is not valid gzip: %w", err)
		}
		return newAhead(z, func() { _ = z.Close() }, in, Gzip), Gzip, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), isSkippable(magic):
		// One goroutine of our own decodes; the decoder needs no more.
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, "", refuse("layer is not valid zstd: %w", err)
		}
		return newAhead(z, z.Close, in, Zstd), Zstd, nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")), bytes.HasPrefix(magic, []byte("BZh")):
		return nil, "", refuse("layer is compressed with xz or bzip2, which image layers cannot be: use gzip or zstd")
	}
	return io.NopCloser(br), Plain, nil // nothing to compute ahead
}

// isSkippable tells whether a zstd skippable frame starts here, as in layers
// that can be read in parts (estargz's zstd:chunked).
func isSkippable(magic []byte) bool {
	return len(magic) >= 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte{0x2a, 0x4d, 0x18})
}

// ahead reads from a stream in a goroutine of its own.
type ahead struct {
	full   chan []byte // filled by the goroutine, closed after err is set
	empty  chan []byte // given back to it
	cancel context.CancelFunc
	done   sync.WaitGroup
	err    error // why the stream ended; set before full is closed

	chunk, rest []byte // the chunk being read, and what is left of it
}

// newAhead starts reading z; free is called when that has ended.
func newAhead(z io.Reader, free func(), in *counter, kind Kind) *ahead {
	ctx, cancel := context.WithCancel(context.Background())
	a := &ahead{
		full:   make(chan []byte, chunks),
		empty:  make(chan []byte, chunks),
		cancel: cancel,
	}
	for range chunks {
		a.empty <- make([]byte, chunkSize)
	}
	a.done.Go(func() {
		defer free()
		defer close(a.full)
		a.err = a.fill(ctx, z, in, kind)
	})
	return a
}

// fill is the goroutine: it ends with the stream or with Close.
func (a *ahead) fill(ctx context.Context, z io.Reader, in *counter, kind Kind) error {
	var out int64
	for {
		var buf []byte
		select {
		case buf = <-a.empty:
		case <-ctx.Done():
			return io.ErrClosedPipe
		}
		n, err := readFull(z, buf[:chunkSize])
		out += int64(n)
		if out > freeOutput && out/maxRatio > in.n {
			return limit("layer swells from %d to more than %d bytes: a decompression bomb", in.n, out)
		}
		select {
		case a.full <- buf[:n]:
		case <-ctx.Done():
			return io.ErrClosedPipe
		}
		if err != nil {
			return streamError(err, in.err, kind)
		}
	}
}

// readFull fills p as far as the stream goes. Unlike io.ReadFull it keeps the
// end of the stream (EOF) apart from one that is cut short (ErrUnexpectedEOF).
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// streamError tells the end of the stream from damage to it and from a
// failure of its source.
func streamError(err, source error, kind Kind) error {
	switch {
	case source != nil && !errors.Is(source, io.EOF):
		return source
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return refuse("layer's %s stream is damaged: %w", kind, err)
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.chunk != nil {
			a.empty <- a.chunk // never blocks: as many places as chunks
			a.chunk = nil
		}
		chunk, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.chunk, a.rest = chunk, chunk
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close ends the goroutine and waits for it.
func (a *ahead) Close() error {
	a.cancel()
	a.done.Wait()
	return nil
}

// counter counts what is read and remembers the source's own failure.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}
