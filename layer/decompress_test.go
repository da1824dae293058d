package layer_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"berth/layer"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// content is bytes that do not repeat, many chunks of them.
func content() []byte {
	data := make([]byte, 3<<20+17)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(data)
	return data
}

func TestDecompress(t *testing.T) {
	data := content()
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4}
	half := len(data) / 2
	for _, c := range []struct {
		name string
		in   []byte
		kind layer.Kind
		want []byte
	}{
		{"plain", data, layer.Plain, data},
		{"empty", nil, layer.Plain, nil},
		{"one byte", []byte{0x1f}, layer.Plain, []byte{0x1f}},
		{"gzip", gzipped(t, data), layer.Gzip, data},
		{"gzip of nothing", gzipped(t, nil), layer.Gzip, nil},
		{"gzip members", append(gzipped(t, data[:half]), gzipped(t, data[half:])...), layer.Gzip, data},
		{"zstd", zstded(t, data), layer.Zstd, data},
		{"zstd frames", append(zstded(t, data[:half]), zstded(t, data[half:])...), layer.Zstd, data},
		{"zstd with a skippable frame first", append(skippable, zstded(t, data)...), layer.Zstd, data},
	} {
		for _, reader := range []struct {
			name string
			wrap func(io.Reader) io.Reader
		}{{"whole", func(r io.Reader) io.Reader { return r }}, {"in halves", iotest.HalfReader}, {"data with EOF", iotest.DataErrReader}} {
			t.Run(c.name+" "+reader.name, func(t *testing.T) {
				r, kind, err := layer.Decompress(reader.wrap(bytes.NewReader(c.in)))
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, c.want) || kind != c.kind {
					t.Errorf("got %d bytes, %v, kind %s, want %d, kind %s", len(got), err, kind, len(c.want), c.kind)
				}
			})
		}
	}
}

func TestDecompressDamage(t *testing.T) {
	data := content()
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 0xff
		return b
	}
	gz, zs := gzipped(t, data), zstded(t, data)
	failing := errors.New("connection lost")
	for _, c := range []struct {
		name string
		in   io.Reader
		want error
	}{
		{"gzip cut", bytes.NewReader(gz[:len(gz)-9]), errdefs.ErrInvalidArgument},
		{"gzip without checksum", bytes.NewReader(gz[:len(gz)-8]), errdefs.ErrInvalidArgument},
		{"gzip with a wrong checksum", bytes.NewReader(flip(gz, len(gz)-5)), errdefs.ErrInvalidArgument},
		{"gzip header only", bytes.NewReader(gz[:4]), errdefs.ErrInvalidArgument},
		{"zstd cut", bytes.NewReader(zs[:len(zs)/2]), errdefs.ErrInvalidArgument},
		{"zstd with a wrong checksum", bytes.NewReader(flip(zs, len(zs)-1)), errdefs.ErrInvalidArgument},
		{"zstd header only", bytes.NewReader(zs[:4]), errdefs.ErrInvalidArgument},
		{"xz", bytes.NewReader([]byte("\xfd7zXZ\x00 and more")), errdefs.ErrInvalidArgument},
		{"source fails", io.MultiReader(bytes.NewReader(gz[:1<<20]), iotest.ErrReader(failing)), failing},
		{"source fails at once", iotest.ErrReader(failing), failing},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _, err := layer.Decompress(c.in)
			if err == nil {
				defer r.Close()
				_, err = io.Copy(io.Discard, r)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// Close ends the goroutine wherever it is. synctest fails if one is left.
func TestDecompressCloseJoins(t *testing.T) {
	data := content()
	gz := gzipped(t, data)
	for _, n := range []int64{0, 1, 300 << 10, int64(len(data))} {
		synctest.Test(t, func(t *testing.T) {
			r, _, err := layer.Decompress(bytes.NewReader(gz))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, r, n); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // it has read ahead as far as it can
			if err := errors.Join(r.Close(), r.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSecurity37DecompressionBomb(t *testing.T) {
	// 64 kB of zstd that are 4 GB of zeros.
	part := zstded(t, make([]byte, 64<<20))
	bomb := bytes.Repeat(part, 64)
	r, _, err := layer.Decompress(bytes.NewReader(bomb))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if !errors.Is(err, errdefs.ErrResourceExhausted) || n > 1<<30 {
		t.Errorf("%d bytes of zeros from %d, then %v", n, len(bomb), err)
	}
	// A window of 2 GB would be that much memory.
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r2, _, err := layer.Decompress(bytes.NewReader(window))
	if err == nil {
		defer r2.Close()
		_, err = io.Copy(io.Discard, r2)
	}
	runtime.ReadMemStats(&after)
	if !errors.Is(err, errdefs.ErrInvalidArgument) || after.TotalAlloc-before.TotalAlloc > 64<<20 {
		t.Errorf("window of 2 GB: %v, %d bytes allocated", err, after.TotalAlloc-before.TotalAlloc)
	}
}
