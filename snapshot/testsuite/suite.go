// Package testsuite checks the contract of package snapshot.
//
// Level: L1, imported by tests only.
// Owns: the tests that every snapshot.Snapshotter passes.
// May import: snapshot, internal/linux, opencontainers/go-digest.
// Must not know: any implementation.
package testsuite

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"berth/internal/linux"
	"berth/snapshot"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// Open returns an empty store that reads plain layer tars.
type Open func(t *testing.T) snapshot.Snapshotter

// Run runs all tests. They need root.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, snapshot.Snapshotter)
	}{
		{"layers", testLayers},
		{"refused layers", testRefused},
		{"one unpack for all", testConcurrent},
		{"who waits takes over", testTakeOver},
		{"waiting ends with the context", testWaitEnds},
		{"union", testUnion},
		{"copy on write", testCopyOnWrite},
		{"prepare again", testPrepareAgain},
		{"directories passed through", testInherit},
		{"opaque root", testOpaqueRoot},
		{"few and many layers", testNumbers},
		{"bad names", testNames},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Layer is a layer's tar with its chain.
type Layer struct {
	Tar   []byte
	Diff  digest.Digest
	Chain []digest.Digest // up to and with this one
}

// Stack makes layers, bottom first, of lists of entries.
func Stack(t *testing.T, layers ...[]tar.Header) []Layer {
	t.Helper()
	var stack []Layer
	var chain []digest.Digest
	for _, entries := range layers {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, h := range entries {
			body := h.Linkname // of a regular file: its content
			if h.Typeflag == tar.TypeReg {
				h.Linkname, h.Size = "", int64(len(body))
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				_, _ = io.WriteString(w, body) // a bytes.Buffer does not fail; Close tells a wrong size
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		diff := digest.FromBytes(buf.Bytes())
		id := diff
		if len(chain) > 0 {
			id = digest.FromString(chain[len(chain)-1].String() + " " + diff.String())
		}
		chain = append(chain[:len(chain):len(chain)], id)
		stack = append(stack, Layer{Tar: buf.Bytes(), Diff: diff, Chain: chain})
	}
	return stack
}

// File is a regular file's entry for [Stack].
func File(name, content string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Linkname: content}
}

// Dir is a directory's entry for [Stack].
func Dir(name string, mode int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}
}

// UnpackAll unpacks a stack and returns its chain.
func UnpackAll(t *testing.T, s snapshot.Layers, stack []Layer) []digest.Digest {
	t.Helper()
	for _, l := range stack {
		if err := s.Unpack(t.Context(), l.Chain, l.Diff, bytes.NewReader(l.Tar)); err != nil {
			t.Fatal(err)
		}
	}
	return stack[len(stack)-1].Chain
}

// Mount mounts a union for the test.
func Mount(t *testing.T, o linux.Overlay) *os.File {
	t.Helper()
	m, err := linux.MountOverlay(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// Read returns a file's content in a mount, or "absent".
func Read(t *testing.T, m *os.File, name string) string {
	t.Helper()
	f, err := linux.OpenBeneath(m, name, os.O_RDONLY, 0)
	if errors.Is(err, syscall.ENOENT) {
		return "absent"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(m *os.File, name, content string) error {
	f, err := linux.OpenBeneath(m, name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

func testLayers(t *testing.T, s snapshot.Snapshotter) {
	stack := Stack(t, []tar.Header{File("a", strings.Repeat("x", 100_000))}, []tar.Header{File("b", "2")})
	chain := stack[1].Chain
	if s.Has(chain[0]) || s.Has(chain[1]) {
		t.Error("has a layer before it is unpacked")
	}
	UnpackAll(t, s, stack)
	if !s.Has(chain[0]) || !s.Has(chain[1]) {
		t.Error("does not have an unpacked layer")
	}
	list, err := s.List()
	slices.Sort(list)
	if want := slices.Sorted(slices.Values(chain)); err != nil || !slices.Equal(list, want) {
		t.Errorf("list: got %v, %v, want %v", list, err, want)
	}
	if n, err := s.Size(chain[0]); err != nil || n < 100_000 || n > 200_000 {
		t.Errorf("size of a layer with 100,000 bytes: %d, %v", n, err)
	}
	never := readerFunc(func([]byte) (int, error) { t.Error("an unpacked layer's blob is read"); return 0, io.EOF })
	if err := s.Unpack(t.Context(), chain, stack[1].Diff, never); err != nil {
		t.Errorf("unpack again: %v", err)
	}
	for range 2 {
		if err := s.Remove(t.Context(), chain[1]); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	if s.Has(chain[1]) || !s.Has(chain[0]) {
		t.Error("remove took the wrong layer")
	}
	if _, err := s.View(chain); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("view of a removed layer: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func testRefused(t *testing.T, s snapshot.Snapshotter) {
	stack := Stack(t, []tar.Header{File("a", "content")}, []tar.Header{File("b", "2")})
	first, second := stack[0], stack[1]
	flipped := bytes.Clone(first.Tar)
	flipped[512] ^= 1 // in the content: still a good tar
	failing := errors.New("connection lost")
	escape := Stack(t, []tar.Header{File("a", "1"), File("../b", "2")})[0]
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name  string
		ctx   context.Context
		chain []digest.Digest
		diff  digest.Digest
		blob  io.Reader
		want  error
	}{
		{"flipped byte", t.Context(), first.Chain, first.Diff, bytes.NewReader(flipped), errdefs.ErrDataLoss},
		{"byte more", t.Context(), first.Chain, first.Diff, io.MultiReader(bytes.NewReader(first.Tar), strings.NewReader("x")), errdefs.ErrDataLoss},
		{"nothing", t.Context(), first.Chain, first.Diff, strings.NewReader(""), errdefs.ErrDataLoss},
		{"source fails", t.Context(), first.Chain, first.Diff, io.MultiReader(bytes.NewReader(first.Tar[:600]), readerFunc(func([]byte) (int, error) { return 0, failing })), failing},
		{"canceled", canceled, first.Chain, first.Diff, bytes.NewReader(first.Tar), context.Canceled},
		{"hostile", t.Context(), escape.Chain, escape.Diff, bytes.NewReader(escape.Tar), errdefs.ErrInvalidArgument},
		{"layer below is missing", t.Context(), second.Chain, second.Diff, bytes.NewReader(second.Tar), errdefs.ErrFailedPrecondition},
		{"another layer's chain id", t.Context(), second.Chain[1:], first.Diff, bytes.NewReader(first.Tar), errdefs.ErrInvalidArgument},
		{"no chain", t.Context(), nil, first.Diff, bytes.NewReader(first.Tar), errdefs.ErrInvalidArgument},
	} {
		if err := s.Unpack(c.ctx, c.chain, c.diff, c.blob); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if list, err := s.List(); err != nil || len(list) != 0 {
			t.Fatalf("%s: left %v, %v", c.name, list, err)
		}
	}
	UnpackAll(t, s, stack) // a refused layer may be tried again
}

func testConcurrent(t *testing.T, s snapshot.Snapshotter) {
	l := Stack(t, []tar.Header{File("a", strings.Repeat("x", 1<<20))})[0]
	var reads sync.Map
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			blob := bytes.NewReader(l.Tar)
			err := s.Unpack(t.Context(), l.Chain, l.Diff, readerFunc(func(p []byte) (int, error) {
				reads.Store(i, true)
				return blob.Read(p)
			}))
			if err != nil || !s.Has(l.Chain[0]) {
				t.Errorf("unpack: %v", err)
			}
		})
	}
	all.Wait()
	n := 0
	reads.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("the layer was unpacked %d times", n)
	}
}

// blocked is a source that tells when it is read and fails when it is let go.
type blocked struct{ read, letGo chan struct{} }

func (b blocked) Read([]byte) (int, error) {
	close(b.read)
	<-b.letGo
	return 0, errors.New("connection lost")
}

func testTakeOver(t *testing.T, s snapshot.Snapshotter) {
	l := Stack(t, []tar.Header{File("a", "1")})[0]
	b := blocked{make(chan struct{}), make(chan struct{})}
	var all sync.WaitGroup
	all.Go(func() {
		if err := s.Unpack(t.Context(), l.Chain, l.Diff, b); err == nil {
			t.Error("the first unpack did not fail")
		}
	})
	<-b.read
	all.Go(func() {
		if err := s.Unpack(t.Context(), l.Chain, l.Diff, bytes.NewReader(l.Tar)); err != nil {
			t.Errorf("the second unpack: %v", err)
		}
	})
	close(b.letGo)
	all.Wait()
	if !s.Has(l.Chain[0]) {
		t.Error("the layer is not there")
	}
}

func testWaitEnds(t *testing.T, s snapshot.Snapshotter) {
	l := Stack(t, []tar.Header{File("a", "1")})[0]
	b := blocked{make(chan struct{}), make(chan struct{})}
	var all sync.WaitGroup
	all.Go(func() { _ = s.Unpack(t.Context(), l.Chain, l.Diff, b) }) // fails, as above
	<-b.read
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Unpack(ctx, l.Chain, l.Diff, bytes.NewReader(l.Tar)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(b.letGo)
	all.Wait()
}
