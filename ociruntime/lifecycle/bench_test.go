package lifecycle

import (
	"context"
	"io"
	"testing"

	"berth/internal/testutil"
)

// BenchmarkRun is a container from nothing to its recorded exit.
func BenchmarkRun(b *testing.B) {
	benchmarkRun(b, func(*Runtime) {})
}

// BenchmarkRunAttached is the same as kernels before 6.15 need it.
func BenchmarkRunAttached(b *testing.B) {
	benchmarkRun(b, func(r *Runtime) { r.detachedLayers = false })
}

func benchmarkRun(b *testing.B, change func(*Runtime)) {
	testutil.RequireRoot(b)
	r, err := New()
	if err != nil {
		b.Fatal(err)
	}
	change(r)
	a, _ := bundle(b)
	ctx := context.Background()
	for b.Loop() {
		c, err := r.Start(ctx, a)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c.IO().Stdout); err != nil {
			b.Fatal(err)
		}
		if e, err := c.Wait(ctx); err != nil || e.Code != 0 {
			b.Fatalf("exit %+v, %v", e, err)
		}
		if err := c.Delete(ctx); err != nil {
			b.Fatal(err)
		}
		c.IO().Stdout.Close()
		c.IO().Stderr.Close()
	}
}
